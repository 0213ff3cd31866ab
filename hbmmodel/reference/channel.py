"""One channel, tick by tick: section *What happens at tick t* of ``docs/model/controller.md``.

Owns: the order of the five steps, acceptance, direction, column choice, row choice and row statistics.
Must not know: other channels, addresses, the C core.

End of a run: nothing is simulated after the tick in which the last entry leaves the last queue with all input
consumed; a row command of that same tick still belongs to the run.  ``end_tick`` is the latest completion.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hbmmodel.reference.policy import ChannelPolicy
from hbmmodel.reference.power import Power, PowerManager, PowerTicks
from hbmmodel.reference.queues import Entry, Queue, Request
from hbmmodel.reference.refresh import RefreshEngine
from hbmmodel.reference.timing import COLUMN_COMMANDS, Bus, Command, Event, History

REFRESHES = (Command.REFab, Command.REFpb, Command.RFMab, Command.RFMpb)
STARVED_REFRESHES = 4096


class DeadlockError(RuntimeError):
    """The channel did not finish its input within the allowed number of ticks, or only refreshes."""


@dataclass(frozen=True)
class Issued:
    """One command of the log."""

    tick: int
    pc: int
    command: Command
    bank: int
    row: int
    column: int


@dataclass(frozen=True)
class Completion:
    """When a request was accepted and done, in ticks, and whether a queued write answered it."""

    accept: int
    done: int
    forwarded: bool


@dataclass(frozen=True)
class RowStatistics:
    """Row outcomes of one pseudo-channel; forwarded reads appear in none."""

    hits: int
    misses: int
    conflicts: int


@dataclass(frozen=True)
class ChannelOutcome:
    """What a run did.

    Attributes
    ----------
    commands
        All commands in order of issue.
    completions
        Per pseudo-channel, one `Completion` per request, in order of the input.
    rows
        Per pseudo-channel, the row statistics.
    counts
        Per pseudo-channel, how many of each command.
    end_tick
        Latest completion of any request; 0 without requests.
    power
        Per pseudo-channel, its time in every power state.
    lost_power_state
        Per pseudo-channel, ticks of its data bus lost to waking up.
    """

    commands: list[Issued]
    completions: list[list[Completion]]
    rows: list[RowStatistics]
    counts: list[dict[Command, int]]
    end_tick: int
    power: list[PowerTicks]
    lost_power_state: list[int]


class PseudoChannel:
    """Queues, direction, banks and refresh of one pseudo-channel, and what it would do next.

    Parameters
    ----------
    number
        0 or 1.
    ticks, policy, host_ticks, window
        As for `simulate_channel`.
    requests
        Its input.
    """

    def __init__(
        self,
        number: int,
        ticks: Mapping[str, int],
        policy: ChannelPolicy,
        requests: Sequence[Request],
        host_ticks: int,
        window: int,
    ) -> None:
        self.number = number
        self.ticks = ticks
        self.policy = policy
        self.requests = requests
        self.host_ticks = host_ticks
        self.window = window
        self.next = 0
        self.gap_256 = self.next_256 = 0
        self.sequence = 0
        self.reads = Queue(policy.read_queue)
        self.writes = Queue(policy.write_queue)
        self.writing = False
        self.drain = 0  # RD or WR in a direction that the other has to wait for; 0: see `turn`
        self.in_direction = 0  # since the turn
        self.history = History(ticks)
        self.refresh = RefreshEngine(number, ticks, policy, self.history, (self.reads, self.writes))
        self.read_stamps: list[int] = []
        self.accept: list[int] = [-1] * len(requests)
        self.done: list[int] = [-1] * len(requests)
        self.forwarded: list[bool] = [False] * len(requests)
        self.row_hits = self.row_misses = self.row_conflicts = 0
        self.in_vain = 0  # REF and RFM in a row while requests waited
        self.data_free = self.nonempty_since = self.lost_power_state = 0

    def any_open(self) -> bool:
        """Whether any bank is open."""
        return any(row is not None for row in self.history.open_row)

    def finished(self) -> bool:
        """Whether the input is consumed and both queues are empty."""
        return self.next == len(self.requests) and not len(self.reads) and not len(self.writes)

    # Steps 2 and 3 --------------------------------------------------------------------------------

    def accept_requests(self, tick: int) -> None:
        """Step 2: take requests from the input until one does not fit."""
        while (
            self.next < len(self.requests)
            and self.requests[self.next].arrival <= tick
            and self.next_256 <= 256 * tick
        ):
            request = self.requests[self.next]
            if request.is_write or not self.writes.holds(request):
                queue = self.writes if request.is_write else self.reads
                if not queue.has_room() or not (request.is_write or self._window_allows(tick)):
                    return
            self.take(request, tick)

    def take(self, request: Request, tick: int) -> None:
        """Take a request that fits from the input: into its queue, or answered by a write there."""
        if not request.is_write and self.writes.holds(request):
            self.done[self.next] = tick
            self.forwarded[self.next] = True
        else:
            if not len(self.reads) and not len(self.writes):
                self.nonempty_since = tick
            queue = self.writes if request.is_write else self.reads
            queue.append(Entry(request, self.sequence, self.next))
            self.sequence += 1
        self.accept[self.next] = tick
        self.next += 1
        if self.gap_256:
            self.next_256 = max(self.next_256, 256 * (tick - 2)) + self.gap_256

    def pace(self, gap_256: int) -> None:
        """From now on the host waits `gap_256` / 256 ticks from one request to the next; 0: it does not wait."""
        self.gap_256 = gap_256
        if gap_256 == 0:
            self.next_256 = 0

    def _window_allows(self, tick: int) -> bool:
        if self.window == 0:
            return True
        to_host = self.ticks["RL"] + self.ticks["BL"] + self.host_ticks
        under_way = sum(1 for stamp in self.read_stamps if stamp + to_host > tick)
        return len(self.reads) + under_way < self.window

    def turn(self) -> None:
        """Step 3: at most one change of direction."""
        reads, writes = len(self.reads), len(self.writes)
        drained = self.in_direction >= self.drain
        lead = self.lead() if reads > 0 and writes > 0 else 0
        before = self.writing
        if not self.writing:
            high = writes >= self.policy.write_high or self.has_full_class()
            self.writing = (high and (drained or lead < 0) and lead <= 0) or (reads == 0 and writes > 0)
        else:
            low = writes <= self.policy.write_low and not self.has_full_class()
            low = low or (self.drain > 0 and drained and lead == 0) or lead > 0
            self.writing = not (writes == 0 or (low and reads > 0))
        if self.writing != before:
            self.in_direction = 0

    def lead(self) -> int:
        """Which direction has the class of the highest priority waiting: 1 reads, -1 writes; without classes 0."""
        return 0

    def has_full_class(self) -> bool:
        """Whether a class of traffic has as many writes in the queue as it may; there is none here."""
        return False

    # Shared by column and row choice --------------------------------------------------------------

    def queue(self) -> Queue:
        """Return the queue of the present direction."""
        return self.writes if self.writing else self.reads

    def hits_open_row(self, entry: Entry) -> bool:
        """Whether the entry's bank is open at its row."""
        return self.history.open_row[entry.request.bank] == entry.request.row

    def admitted(self, entry: Entry) -> bool:
        """Whether the scheduler admits this entry, which hits the open row of its bank."""
        if self.policy.scheduler == "fcfs":
            return entry is self.queue().oldest()
        if self.policy.scheduler == "frfcfs_cap":
            bank = entry.request.bank
            overtakes = any(
                other.sequence < entry.sequence and not self.hits_open_row(other)
                for other in self.queue().of_bank(bank)
            )
            return not overtakes or self.history.since_act[bank] < self.policy.cap
        return True

    # Step 4 ---------------------------------------------------------------------------------------

    def column_choice(self, tick: int) -> tuple[Command, Entry] | None:
        """Find the oldest candidate that is legal now, with its command."""
        for entry in self.queue():
            bank = entry.request.bank
            if not self.hits_open_row(entry) or self.refresh.blocked(bank) or not self.admitted(entry):
                continue
            command = self._column_command(entry)
            if self.history.legal(command, bank, tick):
                return command, entry
        return None

    def _column_command(self, entry: Entry) -> Command:
        if self.policy.page_policy == "closed":
            bank = entry.request.bank
            if not any(
                other is not entry and self.hits_open_row(other) for other in self.queue().of_bank(bank)
            ):
                return Command.WRA if self.writing else Command.RDA
        return Command.WR if self.writing else Command.RD

    # Step 5 ---------------------------------------------------------------------------------------

    def row_choice(self, tick: int) -> tuple[Command, int, Entry | None] | None:
        """Find the first legal row command of classes 1, 2, 3, with its bank and the entry that caused it."""
        wanted = self.refresh.wanted()
        if wanted is not None and self.history.legal(*wanted, tick):
            return (*wanted, None)
        for_request = self._row_choice_for_requests(tick)
        if for_request is not None:
            return for_request
        return self._row_choice_of_page_policy(tick)

    def _row_choice_for_requests(self, tick: int) -> tuple[Command, int, Entry] | None:
        legal: list[tuple[int, Command, int, Entry]] = []
        for bank in sorted({entry.request.bank for entry in self.queue()}):
            if self.refresh.blocked(bank):
                continue
            entries = self.queue().of_bank(bank)
            # "the oldest entry of d's queue that does not hit the open row": a closed bank has no open row,
            # so there all its entries count.
            misses = [entry for entry in entries if not self.hits_open_row(entry)]
            if not misses:
                continue
            entry = misses[0]
            if self.policy.scheduler == "fcfs" and entry is not self.queue().oldest():
                continue
            if self.history.open_row[bank] is None:
                if self.refresh.holds_activates(tick):
                    continue
                command = Command.ACT
            elif any(self.hits_open_row(other) and self.admitted(other) for other in entries):
                continue
            else:
                command = Command.PREpb
            if self.history.legal(command, bank, tick):
                legal.append((entry.sequence, command, bank, entry))
        if not legal:
            return None
        _, command, bank, entry = min(legal, key=lambda candidate: candidate[0])
        return command, bank, entry

    def _row_choice_of_page_policy(self, tick: int) -> tuple[Command, int, None] | None:
        if self.policy.page_policy == "open":
            return None
        timeout = self.policy.timeout_ticks if self.policy.page_policy == "timeout" else 0
        legal: list[tuple[int, int]] = []
        for bank, row in enumerate(self.history.open_row):
            if row is None or self.refresh.blocked(bank):
                continue
            if any(self.hits_open_row(entry) for entry in self.queue().of_bank(bank)):
                continue
            ran_out = timeout + max(self.history.last(e, bank) for e in (Event.ACT, Event.READ, Event.WRITE))
            if ran_out <= tick and self.history.legal(Command.PREpb, bank, tick):
                legal.append((ran_out, bank))
        if not legal:
            return None
        return Command.PREpb, min(legal)[1], None

    # Issue ----------------------------------------------------------------------------------------

    def issue_column(self, command: Command, entry: Entry, tick: int, awake: int) -> None:
        """Issue the column command of an entry and complete it; `awake` ended the channel's last sleep."""
        self._count(command, entry)
        self.lost_power_state += max(0, min(awake, tick) - max(self.data_free, self.nonempty_since))
        self.data_free = tick + self.ticks["BL"]
        self.in_direction += 1
        self._issue(command, entry.request.bank, entry.request.row, tick)
        self.queue().remove(entry)
        if entry.request.is_write:
            self.done[entry.index] = tick + self.ticks["WL"] + self.ticks["BL"]
        else:
            self.done[entry.index] = tick + self.ticks["RL"] + self.ticks["BL"]
            self.read_stamps.append(tick)

    def issue_row(self, command: Command, bank: int, entry: Entry | None, tick: int) -> int:
        """Issue a row command; return its row (0 unless it is an ACT)."""
        if entry is not None:
            self._count(command, entry)
        row = entry.request.row if command is Command.ACT and entry is not None else 0
        self._issue(command, bank, row, tick)
        return row

    def _issue(self, command: Command, bank: int, row: int, tick: int) -> None:
        if not self.history.legal(command, bank, tick):
            raise AssertionError(f"{command.name} to bank {bank} is illegal at tick {tick}")
        self.history.record(command, bank, row, tick)
        self.refresh.record(command, bank)
        if command in COLUMN_COMMANDS:
            self.in_vain = -1
        elif command in REFRESHES:
            self.in_vain = self.in_vain + 1 if self.reads or self.writes else 0
            if self.in_vain > STARVED_REFRESHES:
                raise DeadlockError(f"requests wait, and the last {self.in_vain} refreshes left no time for them")

    def _count(self, command: Command, entry: Entry) -> None:
        """Count an entry once, by the first command it causes."""
        if entry.counted:
            return
        entry.counted = True
        if command in COLUMN_COMMANDS:
            self.row_hits += 1
        elif command is Command.ACT:
            self.row_misses += 1
        else:
            self.row_conflicts += 1


def simulate_channel(
    ticks: Mapping[str, int],
    policy: ChannelPolicy,
    inputs: Sequence[Sequence[Request]],
    max_ticks: int = 1_000_000,
    host_ticks: int = 0,
    window: int = 0,
) -> ChannelOutcome:
    """Run one channel through its inputs, tick by tick.

    Parameters
    ----------
    ticks
        Device fields in ticks of half a CK, as `hbmmodel.device.Device.ticks` gives them.
    policy
        The controller's policies.
    inputs
        One sequence of requests per pseudo-channel.
    max_ticks
        Ticks after which an unfinished run is an error.
    host_ticks
        Way of read data from the channel to the host; it matters to the window only.
    window
        Reads that may be on their way at once per pseudo-channel; 0: any number.

    Returns
    -------
    ChannelOutcome
        Commands, completions and counters.

    Raises
    ------
    ValueError
        When the inputs do not fit the device.
    DeadlockError
        When `max_ticks` did not suffice, or refresh leaves no time for the requests that wait.

    Source
    ------
    ``docs/model/controller.md``.
    """
    _check_inputs(ticks, inputs, max_ticks, host_ticks, window)
    pcs = [
        PseudoChannel(number, ticks, policy, requests, host_ticks, window)
        for number, requests in enumerate(inputs)
    ]
    power = PowerManager(ticks, policy, pcs)
    row_bus, column_bus = Bus(), Bus()
    log: list[Issued] = []
    tick = 0
    while not all(pc.finished() for pc in pcs):
        if tick >= max_ticks:
            left = sum(len(pc.requests) - pc.next + len(pc.reads) + len(pc.writes) for pc in pcs)
            raise DeadlockError(
                f"{left} requests are still unserved after {max_ticks} ticks; raise max_ticks"
            )
        _step(tick, pcs, power, row_bus, column_bus, log, ticks)
        power.spend(1)
        tick += 1
    return _outcome(pcs, power, tick, log)


def _step(
    tick: int,
    pcs: Sequence[PseudoChannel],
    power: PowerManager,
    row_bus: Bus,
    column_bus: Bus,
    log: list[Issued],
    ticks: Mapping[str, int],
) -> None:
    """Do everything that happens at one tick."""
    even = tick % 2 == 0
    if even:
        held = power.holds_refresh(tick)
        for pc in pcs:
            if power.power is not Power.SELF_REFRESH:
                pc.refresh.look_at_clock(tick, asleep=power.power is Power.DOWN, held=held)
            pc.accept_requests(tick)
            pc.turn()
    if power.commands_allowed(tick):
        _use_buses(tick, pcs, power.awake, row_bus, column_bus, log, ticks)
    if even:
        changed = power.step(tick, row_bus)
        if changed is not None:
            log.append(Issued(tick, changed[1], changed[0], 0, 0, 0))


def _use_buses(
    tick: int,
    pcs: Sequence[PseudoChannel],
    awake: int,
    row_bus: Bus,
    column_bus: Bus,
    log: list[Issued],
    ticks: Mapping[str, int],
) -> None:
    """Steps 4 and 5."""
    if tick % 2 == 0 and column_bus.free(tick):
        for number in column_bus.order(len(pcs)):
            column = pcs[number].column_choice(tick)
            if column is not None:
                command, entry = column
                pcs[number].issue_column(command, entry, tick, awake)
                column_bus.take(tick, ticks["column_ticks"], number)
                request = entry.request
                log.append(Issued(tick, number, command, request.bank, request.row, request.column))
                break
    if row_bus.free(tick):
        for number in row_bus.order(len(pcs)):
            choice = pcs[number].row_choice(tick)
            if choice is not None:
                command, bank, cause = choice
                row = pcs[number].issue_row(command, bank, cause, tick)
                row_bus.take(tick, ticks["act_ticks" if command is Command.ACT else "row_ticks"], number)
                log.append(Issued(tick, number, command, bank, row, 0))
                break


def _check_inputs(
    ticks: Mapping[str, int],
    inputs: Sequence[Sequence[Request]],
    max_ticks: int,
    host_ticks: int,
    window: int,
) -> None:
    if len(inputs) != ticks["pseudo_channels"]:
        raise ValueError(
            f"{len(inputs)} inputs for {ticks['pseudo_channels']} pseudo-channels; give one for each"
        )
    for name, value in (("max_ticks", max_ticks), ("host_ticks", host_ticks), ("window", window)):
        if value < 0:
            raise ValueError(f"{name} is {value}; use at least 0")
    banks = ticks["sids"] * ticks["bank_groups"] * ticks["banks_per_group"]
    for pc, requests in enumerate(inputs):
        for index, request in enumerate(requests):
            for name, value, end in (
                ("bank", request.bank, banks),
                ("row", request.row, ticks["rows"]),
                ("column", request.column, ticks["columns"]),
            ):
                if not 0 <= value < end:
                    raise ValueError(f"input {pc}, request {index}: {name} is {value}; use 0 to {end - 1}")


def _outcome(
    pcs: Sequence[PseudoChannel], power: PowerManager, ticks_run: int, log: list[Issued]
) -> ChannelOutcome:
    completions = [[Completion(*c) for c in zip(pc.accept, pc.done, pc.forwarded, strict=True)] for pc in pcs]
    counts: list[dict[Command, int]] = [dict.fromkeys(Command, 0) for _ in pcs]
    for issued in log:
        counts[issued.pc][issued.command] += 1
    end_tick = max((c.done for pc in completions for c in pc), default=0)
    power.spend(end_tick - ticks_run)
    return ChannelOutcome(
        commands=log,
        completions=completions,
        rows=[RowStatistics(pc.row_hits, pc.row_misses, pc.row_conflicts) for pc in pcs],
        counts=counts,
        end_tick=end_tick,
        power=power.ticks,
        lost_power_state=[pc.lost_power_state for pc in pcs],
    )
