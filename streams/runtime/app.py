"""The Faust app that runs stages: agents take batches, a loop commits, a loop moves time.

One commit, in this order: outputs on the broker, changelog on the broker, offsets committed, effects started.
A crash between any two leaves input that is read again and folds to the same.
"""

import asyncio
import contextlib
import gc
import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faust
from faust.types import TP

from streams.runtime.batches import FETCH_WAIT_MS, Batch, BatchSchema, Restoring, Transport
from streams.runtime.changelog import Changelog
from streams.runtime.metrics import Metrics
from streams.runtime.partition import Partition, Stage, Surroundings, sources
from streams.runtime.producer import Producer, SendFailed
from streams.runtime.progress import BrokerClock, EventProgress, LiveProgress
from streams.runtime.spill import Spill
from streams.runtime.table import Table
from streams.runtime.watchdog import Watchdog

log = logging.getLogger(__name__)

CLOCK_MARGIN_MS = 2 * FETCH_WAIT_MS  # an end seen now was true a fetch ago
EFFECTS_AT_ONCE = 256
EFFECTS_PATIENCE_S = 2.5  # for effects under way before partitions are given back: the group waits meanwhile
BATCH_BYTES = 256 * 1024  # of one fetch, compressed: the loop turns to something else after a batch
GC_THRESHOLDS = (100_000, 20, 50)  # states come and go by the thousand, without cycles
METADATA_AGE_MS = 10_000  # a topic that the broker did not know yet when the group was formed is asked for again
CLOCK_AGE_S = 60.0  # after which the broker's clock is asked for again


@dataclass(frozen=True)
class Config:
    """What the runtime must know of the outside."""

    group: str
    bootstrap: str
    prefix: str
    data_dir: Path
    partitions_of: Mapping[str, int]  # by topic without prefix
    dead_letters: str
    max_bytes: int
    partitioner: Callable[[bytes, int], int]
    forwarded_header: str
    watermark_header: str
    event_time: bool = False
    commit_interval: float = 0.5
    effect_interval: float | None = None  # a commit follows so soon when an effect waits for it; None: at its time
    session_timeout: float = 10.0
    state_memory: int = 0  # bytes of states of one partition in memory, the rest on disk; 0: all in memory
    watch_s: float = 60.0  # how long fetching, folding, committing or the loop may stand still


@dataclass(frozen=True)
class Changes:
    """What one commit writes, as it stood at one moment."""

    positions: dict[TP, int]
    states: list[tuple[Partition[Any, Any], list[tuple[bytes, bytes | None]]]]
    effects: list[tuple[Partition[Any, Any], Any]]


class App(faust.App):  # type: ignore[misc]
    """A Faust app whose agents run stages on partition batches."""

    def __init__(self, config: Config, stages: list[Stage[Any, Any]]) -> None:
        config.data_dir.mkdir(parents=True, exist_ok=True)  # Faust wants one, and makes only the last folder
        super().__init__(
            config.group,
            broker=";".join(f"kafka://{host}" for host in config.bootstrap.split(",")),
            datadir=config.data_dir,
            TableManager=Restoring,
            web_enabled=False,
            topic_disable_leader=True,
            topic_allow_declare=False,
            stream_buffer_maxsize=16,
            stream_wait_empty=True,
            broker_session_timeout=config.session_timeout,
            broker_heartbeat_interval=min(1.0, config.session_timeout / 3),  # how soon a rebalance is heard of
            broker_max_poll_interval=300.0,
            consumer_auto_offset_reset="earliest",
            consumer_metadata_max_age_ms=METADATA_AGE_MS,
            consumer_max_fetch_size=BATCH_BYTES,
            worker_redirect_stdouts=False,
        )
        self.config = config
        self.stages = stages
        self.partitions: dict[tuple[str, int], Partition[Any, Any]] = {}
        self.failure: BaseException | None = None
        self.moved = dict.fromkeys(("loop", "fetch", "fold", "commit"), 0.0)  # when each last did (monotonic s)
        self._unfolded = 0  # batches handed over and not taken
        self._watchdog = Watchdog(self._must_move, config.watch_s)
        self.metrics = Metrics(self)
        self._surroundings: Surroundings | None = None
        self._outputs: Producer | None = None
        self._kept: dict[tuple[str, int], Partition[Any, Any]] = {}  # over a rebalance
        self._generation = -1
        self._opening: list[asyncio.Future[None]] = []
        self._fresh: list[Partition[Any, Any]] = []  # those that are opened, until they are at work
        self._siblings: dict[str, list[EventProgress]] = {}
        self._committed: dict[TP, int] = {}
        self._lock = asyncio.Lock()  # held by whatever changes or reads states
        self._committing = asyncio.Lock()
        self._effects: set[asyncio.Task[None]] = set()
        self._slots = asyncio.Semaphore(EFFECTS_AT_ONCE)
        self.counters: Counter[tuple[str, str]] = Counter()
        for topic in dict.fromkeys(topic for stage in stages for topic in stage.inputs):
            self._agent_for(topic)
        self.task(self._keep_committing)
        self.task(self._keep_time)

    def changelog(self, stage: Stage[Any, Any]) -> str:
        """The topic that holds a stage's state."""
        return f"{self.config.group}-{stage.name}-changelog"

    def _new_transport(self) -> Transport:
        return Transport(self.conf.broker_consumer, self)

    # -- taking batches ---------------------------------------------------------------------------------------
    def _agent_for(self, topic: str) -> None:
        readers = [stage for stage in self.stages if topic in stage.inputs]
        channel = self.topic(self.config.prefix + topic, schema=BatchSchema())

        async def take(batches: Any) -> None:
            async for batch in batches:
                await self._take(topic, readers, batch)

        self.agent(channel, name=f"{__name__}.{topic}")(take)

    async def _take(self, topic: str, readers: list[Stage[Any, Any]], batch: Batch) -> None:
        tp = TP(self.config.prefix + topic, batch.partition)
        try:
            async with self._lock:
                for stage in readers:
                    partition = self.partitions.get((stage.name, tp.partition))
                    if partition is not None:  # else it was revoked while the batch waited
                        began = time.perf_counter()
                        partition.take(topic, batch)
                        self._release(stage, partition)
                        self.metrics.batch.labels(stage.name).observe(time.perf_counter() - began)
        except Exception as exc:  # an agent that fails must not count its batch as done (Faust acks it)
            await self.fail(exc)
        self._unfolded -= 1
        self.moved["fold"] = time.monotonic()

    def hand_over(self) -> None:
        """A batch is on its way to its stage."""
        if self._unfolded <= 0:
            self._unfolded, self.moved["fold"] = 0, time.monotonic()
        self._unfolded += 1

    def _must_move(self) -> dict[str, float]:
        """What would be stuck if it did not move, and when it last did."""
        moved = dict(self.moved)
        if not self.partitions:
            return {"loop": moved["loop"]}
        if self._unfolded <= 0:
            del moved["fold"]
        return moved

    def end_of(self, topic: str, partition: int) -> int | None:
        """The end of an input as it was last heard of."""
        end: int | None = self.consumer._thread.end_of(TP(self.config.prefix + topic, partition))
        return end

    def full(self) -> set[TP]:
        """Inputs that are held and of which enough has been fetched."""
        prefix = self.config.prefix
        return {
            TP(prefix + topic, p.partition)
            for p in list(self.partitions.values())
            for topic in p.stage.inputs
            if p.is_full(topic)
        }

    def _release(self, stage: Stage[Any, Any], partition: Partition[Any, Any]) -> None:
        """Hand over what has come; on event time it may be what the stage's other partitions wait for."""
        moved = partition.release()
        while moved and self.config.event_time:
            moved = any([p.release() for (name, _), p in self.partitions.items() if name == stage.name])  # noqa: C419

    async def _keep_time(self) -> None:
        """Move time on where everything has been read."""
        self.moved["loop"] = time.monotonic()
        self._watchdog.start()
        while not self.should_stop:
            await asyncio.sleep(FETCH_WAIT_MS / 1000)
            try:
                ends = await self.consumer._thread.ends() if self.partitions else {}
                async with self._lock:
                    for (_, number), partition in self.partitions.items():
                        for topic, position in partition.positions.items():
                            delivered, at = ends.get(TP(self.config.prefix + topic, number), (None, 0))
                            if delivered is not None and position >= delivered:
                                partition.caught_up(topic, self._shared().clock.at(at) - CLOCK_MARGIN_MS)
                self.moved["loop"] = time.monotonic()
            except Exception as exc:
                await self.fail(exc)

    # -- committing -------------------------------------------------------------------------------------------
    async def _keep_committing(self) -> None:
        while not self.should_stop:
            await self._until_commit()
            try:
                await self._commit()
            except Exception as exc:
                await self.fail(exc)

    async def _until_commit(self) -> None:
        """Return when it is time to commit: soon when an effect waits for it, if it is to be so."""
        config = self.config
        if config.effect_interval is None:
            await asyncio.sleep(config.commit_interval)
            return
        wanted = self._shared().wanted
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(wanted.wait(), config.commit_interval)
            await asyncio.sleep(config.effect_interval)  # more of them may come together
        wanted.clear()

    async def _commit(self) -> bool:
        """Outputs, changelog, offsets, effects: in this order. False when the partitions are no longer ours."""
        async with self._committing:
            began = time.monotonic()
            if self._outputs is not None:  # most of the outputs, so that batches need not wait for them below
                await self._outputs.hasten()
            async with self._lock:  # later batches may be taken while this one's state is written
                await self._flush_outputs()
                taken = self._take_changes()
            await self._write_changelog(taken)
            owned = await self._commit_offsets(taken)
            if owned:
                await self._start_effects(taken)
            else:  # should the partitions stay with us after all, a later commit starts them
                for partition, effect in reversed(taken.effects):
                    partition.effects.insert(0, effect)
            self.moved["commit"] = time.monotonic()
            self.metrics.commit.observe(self.moved["commit"] - began)
            return owned

    def _take_changes(self) -> "Changes":
        parts = list(self.partitions.values())
        taken = Changes(
            positions={self._tp(topic, p): offset for p in parts for topic, offset in p.positions.items()},
            states=[(p, p.table.take_dirty()) for p in parts],
            effects=[(p, effect) for p in parts for effect in p.effects],
        )
        for p in parts:
            p.effects = []
            p.table.cool()
        return taken

    def _tp(self, topic: str, partition: Partition[Any, Any]) -> TP:
        return TP(self.config.prefix + topic, partition.partition)

    async def _flush_outputs(self) -> None:
        if self._outputs is not None:
            await self._outputs.flush()

    async def _write_changelog(self, taken: "Changes") -> None:
        """Each partition's changes as one transaction; without changes, now and then, to hear the broker's clock."""
        stale = time.monotonic() - CLOCK_AGE_S
        writes = [
            asyncio.to_thread(p.changelog.write, changes)
            for p, changes in taken.states
            if p.changelog is not None and (changes or p.changelog.written_at < stale)
        ]
        await asyncio.gather(*writes)

    async def _commit_offsets(self, taken: "Changes") -> bool:
        fresh = {tp: n for tp, n in taken.positions.items() if self._committed.get(tp) != n}
        if fresh and not await self.consumer._thread.commit_positions(fresh):
            return False
        self._committed.update(fresh)
        return True

    async def _start_effects(self, taken: "Changes") -> None:
        async with self._lock:
            for partition, effect in taken.effects:
                if _at_once(effect) and partition.ours:
                    partition.task.on_result(effect, None)
        for partition, effect in taken.effects:
            if _at_once(effect):
                continue
            task = asyncio.create_task(self._perform(partition, effect))
            self._effects.add(task)
            task.add_done_callback(self._effects.discard)

    async def _perform(self, partition: Partition[Any, Any], effect: Any) -> None:
        try:
            async with self._slots:
                result = await partition.task.perform(effect)
            async with self._lock:
                if partition.ours:
                    partition.task.on_result(effect, result)
        except Exception as exc:
            await self.fail(exc)

    async def settle(self) -> None:
        """Finish what is under way and commit it: partitions are about to be given back, or the worker stops.

        What was committed is kept: most of it comes back to us after a rebalance. What is still being opened is given
        up and waited for: opened later, it would shut out its next owner.
        """
        for partition in self._fresh:
            partition.ours = False
        if self._opening:
            await asyncio.wait(self._opening, timeout=self.config.session_timeout / 2)
        if not self.partitions:
            return
        patience = time.monotonic() + min(EFFECTS_PATIENCE_S, self.config.session_timeout / 2)
        owned = True
        while owned:
            owned = self.failure is None and await self._commit()
            left = patience - time.monotonic()
            if left <= 0 or not (owned and self._effects):
                break
            await asyncio.wait(set(self._effects), timeout=left)  # what they give may want more of them
        async with self._lock:
            held, self.partitions = self.partitions, {}
            if owned:
                self._kept = held
            else:
                log.warning("partitions were taken away before the last commit; their input will be read again")
                self._drop(held.values())

    # -- assignment -------------------------------------------------------------------------------------------
    async def assign(self, assigned: set[TP]) -> None:
        """Go on with the assigned partitions that we had until this rebalance; `restore` brings the others.

        Nobody else can have had a partition between two generations that follow one another.
        """
        gc.set_threshold(*GC_THRESHOLDS)
        await asyncio.gather(*self._opening, return_exceptions=True)  # a rebalance came before they were done
        self._opening = []
        generation = self.consumer._thread.generation
        wanted = self._wanted(assigned)
        kept = {key: p for key, p in self._kept.items() if key in wanted and generation == self._generation + 1}
        self._drop([p for key, p in self._kept.items() if key not in kept])
        self._kept, self._generation = kept, generation
        known = {self._tp(topic, p): n for p in kept.values() for topic, n in p.positions.items()}
        self._committed = await self.consumer._thread.seek_all(known)
        for partition in kept.values():
            partition.rewind()
        self._kept, self.partitions = {}, kept
        self._unfolded = 0
        self.moved.update(dict.fromkeys(self.moved, time.monotonic()))
        log.info("%s: %d partitions assigned, %d of them kept", self.config.group, len(wanted), len(kept))

    async def restore(self, assigned: set[TP]) -> None:
        """Bring the state of the other assigned partitions back; each goes to work when it is there."""
        missing = {place: s for place, s in self._wanted(assigned).items() if place not in self.partitions}
        self._fresh = [self._make(stage, number) for (_, number), stage in missing.items()]
        await asyncio.gather(*(self._admit(partition, assigned) for partition in self._fresh))
        gc.freeze()  # what is held for long need not be looked at again

    def ready(self, assigned: set[TP]) -> set[TP]:
        """Those of `assigned` whose stages have their state."""
        prefix = self.config.prefix
        readers = {tp: [s.name for s in self.stages if tp.topic.removeprefix(prefix) in s.inputs] for tp in assigned}
        return {tp for tp, names in readers.items() if all((name, tp.partition) in self.partitions for name in names)}

    async def _admit(self, partition: Partition[Any, Any], assigned: set[TP]) -> None:
        opening = asyncio.ensure_future(asyncio.to_thread(self._open, partition))
        self._opening.append(opening)
        try:
            await asyncio.shield(opening)
        except asyncio.CancelledError:  # the next rebalance
            partition.close()
            raise
        if not partition.ours:  # the next rebalance has begun
            partition.close()
            return
        async with self._lock:
            self._fresh = [other for other in self._fresh if other is not partition]
            for topic in partition.stage.inputs:
                partition.positions[topic] = self._committed[self._tp(topic, partition)]
            partition.task.on_restored()
            self.partitions[partition.stage.name, partition.partition] = partition
        self.consumer.resume_partitions(self.ready(assigned))

    def _wanted(self, assigned: set[TP]) -> dict[tuple[str, int], Stage[Any, Any]]:
        prefix = self.config.prefix
        return {
            (stage.name, tp.partition): stage
            for stage in self.stages
            for tp in assigned
            if tp.topic == prefix + stage.inputs[0]
        }

    def _make(self, stage: Stage[Any, Any], number: int) -> Partition[Any, Any]:
        config, shared = self.config, self._shared()
        if stage.state is None:
            return Partition(stage, number, self._progress_of(stage), shared)
        spill = None
        if config.state_memory:
            spill = Spill(config.data_dir / f"state-{os.getpid()}" / f"{stage.name}-{number}")
        changelog = Changelog(
            config.bootstrap, self.changelog(stage), number, max_bytes=config.max_bytes, clock=shared.clock
        )
        table = Table[Any, Any](
            stage.key, stage.state, spill=spill, most_bytes=config.state_memory, in_use=stage.in_use
        )
        if not config.event_time:
            lateness = self.metrics.lateness.labels(stage.name)
            table.on_due = lambda at: lateness.observe(max(0, shared.clock.now() - at) / 1000)
        return Partition(stage, number, self._progress_of(stage), shared, changelog=changelog, table=table)

    def _open(self, partition: Partition[Any, Any]) -> None:
        if partition.changelog is None or not partition.ours:
            return
        began = time.monotonic()
        partition.changelog.open()
        count = partition.changelog.restore(partition.table, wanted=lambda: partition.ours)
        self.metrics.restore.labels(partition.stage.name).observe(time.monotonic() - began)
        if count:
            place = f"{partition.stage.name}/{partition.partition}"
            log.info("%s: %d states restored in %.1f s", place, len(partition.table), time.monotonic() - began)

    def _drop(self, partitions: Iterable[Partition[Any, Any]]) -> None:
        for partition in partitions:
            partition.close()

    def _progress_of(self, stage: Stage[Any, Any]) -> LiveProgress | EventProgress:
        if not self.config.event_time:
            return LiveProgress(stage.inputs, self._shared().clock.now)
        siblings = self._siblings.setdefault(stage.name, [])
        return EventProgress(sources(stage, self.config.partitions_of), siblings)

    def _shared(self) -> Surroundings:
        if self._surroundings is None:
            config = self.config
            self._outputs = Producer(config.bootstrap, max_bytes=config.max_bytes)
            self._surroundings = Surroundings(
                prefix=config.prefix,
                producer=self._outputs,
                clock=BrokerClock(),
                dead_letters=config.dead_letters,
                partitioner=config.partitioner,
                forwarded_header=config.forwarded_header,
                watermark_header=config.watermark_header,
                event_time=config.event_time,
                counters=self.counters,
                partitions_of=dict(config.partitions_of),
            )
        return self._surroundings

    async def release(self) -> None:
        """Let go of everything: the worker has stopped."""
        self._watchdog.stop()
        self._drop(self._kept.values())
        await asyncio.gather(*self._opening, return_exceptions=True)
        self._kept = {}

    async def fail(self, exc: BaseException) -> None:
        """End the worker: what was not committed will be read again."""
        if self.failure is None:
            self._give_up(exc)
            kind = "a record could not be sent" if isinstance(exc, SendFailed) else type(exc).__name__
            log.critical("%s stops: %s: %s", self.config.group, kind, exc, exc_info=exc)
            await self.crash(exc)

    def _crash(self, reason: BaseException) -> None:
        """Faust's own parts end the worker here; that is a failure like any other."""
        self._give_up(reason)
        super()._crash(reason)

    def _give_up(self, exc: BaseException) -> None:
        """Let go of state that may be half changed: agents and timers go on for a moment, and would commit it."""
        self.failure = self.failure or exc
        dropped, self.partitions = self.partitions, {}
        for partition in dropped.values():
            partition.ours = False


def _at_once(effect: Any) -> bool:
    """Whether an effect only waits for the state to be on the broker, and has nothing to perform."""
    return getattr(effect, "at_once", False) is True
