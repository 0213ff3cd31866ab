/* Error names and messages, made from errors.def. */
#include "core.h"

const char *hbm_strerror(int code)
{
    switch (code) {
    case 0:
        return "ok";
#define HBM_ERROR(NAME, CODE, MESSAGE)                                                                                 \
    case CODE:                                                                                                         \
        return MESSAGE;
#include "errors.def"
#undef HBM_ERROR
    default:
        return "unknown error code; please report this";
    }
}

const char *hbm_error_name(int code)
{
    switch (code) {
    case 0:
        return "OK";
#define HBM_ERROR(NAME, CODE, MESSAGE)                                                                                 \
    case CODE:                                                                                                         \
        return #NAME;
#include "errors.def"
#undef HBM_ERROR
    default:
        return "UNKNOWN";
    }
}

int hbm_error_count(void)
{
    int n = 0;
#define HBM_ERROR(NAME, CODE, MESSAGE) n++;
#include "errors.def"
#undef HBM_ERROR
    return n;
}

const char *hbm_build(void)
{
    return
#if defined(__clang__)
        "clang " __clang_version__
#elif defined(__GNUC__)
        "gcc " __VERSION__
#else
        "another compiler"
#endif
#if defined(__GNUC__) && !defined(__OPTIMIZE__)
        ", not optimised"
#endif
#ifdef HBM_CHECKED
        ", checked"
#endif
#ifdef __SANITIZE_ADDRESS__
        ", sanitized"
#endif
        ", C11";
}
