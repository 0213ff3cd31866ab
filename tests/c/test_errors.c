/* The error table: dense, complete, and safe to ask about any number. */
#include "core.h"
#include "testlib.h"

static void codes_are_dense_from_minus_one(void)
{
    const int codes[] = {
#define HBM_ERROR(NAME, CODE, MESSAGE) HBM_ERR_##NAME,
#include "errors.def"
#undef HBM_ERROR
    };
    CHECK_EQ(hbm_error_count(), sizeof codes / sizeof codes[0]);
    for (int i = 0; i < hbm_error_count(); i++) {
        CHECK_EQ(codes[i], -1 - i);
    }
}

static void every_code_has_its_own_name_and_message(void)
{
    for (int code = -1; code >= -hbm_error_count(); code--) {
        CHECK(strlen(hbm_error_name(code)) > 0);
        CHECK(strlen(hbm_strerror(code)) > 10);
        for (int other = 0; other > code; other--) {
            CHECK(strcmp(hbm_error_name(code), hbm_error_name(other)) != 0);
            CHECK(strcmp(hbm_strerror(code), hbm_strerror(other)) != 0);
        }
    }
    CHECK(strcmp(hbm_error_name(HBM_ERR_BAD_TRACE), "BAD_TRACE") == 0);
}

static void success_is_not_an_error(void)
{
    CHECK(strcmp(hbm_error_name(0), "OK") == 0);
    CHECK(strcmp(hbm_strerror(HBM_OK), "ok") == 0);
}

static void any_other_number_is_answered(void)
{
    const int strange[] = {1, INT32_MAX, -hbm_error_count() - 1, INT32_MIN};
    for (size_t i = 0; i < sizeof strange / sizeof strange[0]; i++) {
        CHECK(strcmp(hbm_error_name(strange[i]), "UNKNOWN") == 0);
        CHECK(strstr(hbm_strerror(strange[i]), "report") != NULL);
    }
}

TESTS(T(codes_are_dense_from_minus_one), T(every_code_has_its_own_name_and_message), T(success_is_not_an_error),
      T(any_other_number_is_answered))
