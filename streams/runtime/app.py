"""The Faust app that runs stages: agents take batches, a loop commits, a loop moves time.

One commit, in this order: outputs on the broker, changelog on the broker, offsets committed, effects started.
A crash between any two leaves input that is read again and folds to the same.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faust
from faust.types import TP

from streams.runtime.batches import FETCH_WAIT_MS, Batch, BatchSchema, Restoring, Transport
from streams.runtime.partition import Partition, Stage, Surroundings, sources
from streams.runtime.producer import Producer, SendFailed
from streams.runtime.progress import EventProgress, LiveProgress
from streams.runtime.table import restore

log = logging.getLogger(__name__)

CLOCK_MARGIN_MS = 2 * FETCH_WAIT_MS  # an end seen now was true a fetch ago
EFFECTS_AT_ONCE = 16


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
    session_timeout: float = 10.0


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
            broker_heartbeat_interval=min(3.0, config.session_timeout / 3),
            broker_max_poll_interval=300.0,
            consumer_auto_offset_reset="earliest",
            worker_redirect_stdouts=False,
        )
        self.config = config
        self.stages = stages
        self.partitions: dict[tuple[str, int], Partition[Any, Any]] = {}
        self.failure: BaseException | None = None
        self._producer_of_stages: Producer | None = None
        self._surroundings: Surroundings | None = None
        self._committed: dict[TP, int] = {}
        self._lock = asyncio.Lock()
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
        tp = TP(self.config.prefix + topic, batch[0].partition)
        try:
            async with self._lock:
                for stage in readers:
                    partition = self.partitions.get((stage.name, tp.partition))
                    if partition is not None:  # else it was revoked while the batch waited
                        partition.take(topic, batch)
                        self._release(stage, partition)
        except Exception as exc:  # an agent that fails must not count its batch as done (Faust acks it)
            await self.fail(exc)

    def _release(self, stage: Stage[Any, Any], partition: Partition[Any, Any]) -> None:
        """Hand over what has come; on event time it may be what the stage's other partitions wait for."""
        moved = partition.release()
        while moved and self.config.event_time:
            moved = any([p.release() for (name, _), p in self.partitions.items() if name == stage.name])  # noqa: C419

    async def _keep_time(self) -> None:
        """Move time on where everything has been read."""
        while not self.should_stop:
            await asyncio.sleep(FETCH_WAIT_MS / 1000)
            try:
                ends = await self.consumer._thread.ends() if self.partitions else {}
                async with self._lock:
                    for (_, number), partition in self.partitions.items():
                        for topic, position in partition.positions.items():
                            delivered, at = ends.get(TP(self.config.prefix + topic, number), (None, 0))
                            if delivered is not None and position >= delivered:
                                partition.caught_up(topic, at - CLOCK_MARGIN_MS)
            except Exception as exc:
                await self.fail(exc)

    # -- committing -------------------------------------------------------------------------------------------
    async def _keep_committing(self) -> None:
        while not self.should_stop:
            await asyncio.sleep(self.config.commit_interval)
            try:
                async with self._lock:
                    await self._commit()
            except Exception as exc:
                await self.fail(exc)

    async def _commit(self) -> bool:
        """Outputs, changelog, offsets, effects: in this order. False when the partitions are no longer ours."""
        producer = self._producer_of_stages
        if producer is None or not self.partitions:
            return True
        positions = {
            TP(self.config.prefix + topic, number): offset
            for (_, number), partition in self.partitions.items()
            for topic, offset in partition.positions.items()
        }
        changes = [
            (self.changelog(p.stage), p.partition, key, value)
            for p in self.partitions.values()
            for key, value in p.table.take_dirty()
        ]
        await producer.flush()
        for topic, number, key, value in changes:
            producer.send(topic, key, value, partition=number)
        if changes:
            await producer.flush()
        fresh = {tp: n for tp, n in positions.items() if self._committed.get(tp) != n}
        if fresh and not await self.consumer._thread.commit_positions(fresh):
            return False
        self._committed.update(fresh)
        for partition in self.partitions.values():
            effects, partition.effects = partition.effects, []
            for effect in effects:
                task = asyncio.create_task(self._perform(partition, effect))
                self._effects.add(task)
                task.add_done_callback(self._effects.discard)
        return True

    async def _perform(self, partition: Partition[Any, Any], effect: Any) -> None:
        try:
            async with self._slots:
                result = await partition.task.perform(effect)
            async with self._lock:
                if self.partitions.get((partition.stage.name, partition.partition)) is partition:
                    partition.task.on_result(effect, result)
        except Exception as exc:
            await self.fail(exc)

    async def settle(self) -> None:
        """Finish what is under way and commit it: partitions are about to be given back, or the worker stops."""
        if not self.partitions:
            return
        patience = time.monotonic() + self.config.session_timeout / 2
        owned = True
        while owned:
            async with self._lock:
                owned = self.failure is None and await self._commit()
            left = patience - time.monotonic()
            if left <= 0 or not (owned and self._effects):
                break
            await asyncio.wait(set(self._effects), timeout=left)  # what they give may want more of them
        if not owned:
            log.warning("partitions were taken away before the last commit; their input will be read again")
        self.partitions.clear()

    # -- assignment -------------------------------------------------------------------------------------------
    async def assign(self, assigned: set[TP]) -> None:
        """Restore the state of the assigned partitions and seek their inputs to what was committed."""
        self.partitions.clear()
        shared = self._shared()
        fresh = [
            Partition(stage, number, progress(), shared)
            for stage in self.stages
            for progress in [self._progress_of(stage)]
            for number in sorted({tp.partition for tp in assigned if tp.topic == shared.prefix + stage.inputs[0]})
        ]
        await asyncio.gather(*(asyncio.to_thread(self._restore, partition) for partition in fresh))
        self._committed = await self.consumer._thread.seek_to_start()
        for partition in fresh:
            for topic in partition.stage.inputs:
                partition.positions[topic] = self._committed[TP(shared.prefix + topic, partition.partition)]
            partition.task.on_restored()
            self.partitions[partition.stage.name, partition.partition] = partition
        log.info("%s: %d partitions assigned", self.config.group, len(fresh))

    def _restore(self, partition: Partition[Any, Any]) -> None:
        stage = partition.stage
        count = restore(
            partition.table,
            bootstrap=self.config.bootstrap,
            topic=self.changelog(stage),
            partition=partition.partition,
            key=stage.key,
            state=stage.state,
        )
        if count:
            log.info("%s/%d: %d states restored", stage.name, partition.partition, len(partition.table))

    def _progress_of(self, stage: Stage[Any, Any]) -> Callable[[], LiveProgress | EventProgress]:
        if not self.config.event_time:
            return lambda: LiveProgress(stage.inputs)
        siblings: list[EventProgress] = []
        return lambda: EventProgress(sources(stage, self.config.partitions_of), siblings)

    def _shared(self) -> Surroundings:
        if self._surroundings is None:
            config = self.config
            self._producer_of_stages = Producer(config.bootstrap, max_bytes=config.max_bytes)
            self._surroundings = Surroundings(
                prefix=config.prefix,
                producer=self._producer_of_stages,
                dead_letters=config.dead_letters,
                partitioner=config.partitioner,
                forwarded_header=config.forwarded_header,
                watermark_header=config.watermark_header,
                event_time=config.event_time,
                counters=self.counters,
                partitions_of=dict(config.partitions_of),
            )
        return self._surroundings

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
        self.partitions.clear()
