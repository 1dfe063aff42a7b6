"""Where Faust is bent: one message per partition batch, offsets committed by the app, no per-record work.

Faust's own consumer splits fetched batches, tracks every record's ack, and its table recovery resumes the source
before it seeks (faust-streaming #596: records lost after a crash). Here a batch stays whole, the app commits the
end of what it has finished, and after a rebalance everything is sought before the flow is resumed.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import faust
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import CommitFailedError, ConsumerStoppedError, CorruptRecordException
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from faust.tables import TableManager
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage

from streams.runtime.progress import monotonic_ms

FETCH_WAIT_MS = 100  # how long the broker may hold an empty answer back: the step of progress in silence


class Truncated(Exception):
    """A topic ends before what was committed of it."""


class Batch(list[Any]):
    """Records of one partition, in order, as aiokafka's parser gives them."""

    partition: int


class BatchSchema(faust.Schema):  # type: ignore[misc]
    """Hands the batch to the agent as it is: stages decode for themselves, so no bad byte reaches a stream."""

    def compile(self, app: Any, **_options: Any) -> Callable[..., Awaitable[Any]]:
        """The function that makes an event of a message."""

        async def decode(message: Any, *, propagate: bool = False) -> Any:  # noqa: ARG001 - Faust's signature
            return app.create_event(None, message.value, message.headers, message)

        return decode


class _Only:
    """One batch of a fetch, as aiokafka's reader of batches expects them."""

    def __init__(self, batch: Any) -> None:
        self._batch: Any = batch

    def has_next(self) -> bool:
        return self._batch is not None

    def next_batch(self) -> Any:
        batch, self._batch = self._batch, None
        return batch


def _take_whole(fetched: Any, max_records: int | None = None) -> list[Any]:  # noqa: ARG001 - aiokafka's signature
    """All records of a fetch as the parser makes them; a copy of each with its topic would cost as much again.

    Batches of transactions, and one that begins before the position, go through aiokafka's own way.
    """
    del fetched.getall  # this very function: what refers to itself would wait for the garbage collector, with its bytes
    if not fetched.check_assignment(fetched._topic_partition) or not fetched.has_more():
        return []
    parsed, found = fetched._partition_records, []
    source = parsed._records
    parsed._consumer_record = lambda _place, record: record
    while source.has_next():
        batch = source.next_batch()
        if batch.magic < 2 or batch.is_transactional or batch.base_offset < parsed.next_fetch_offset:
            parsed._records = _Only(batch)
            found += parsed._unpack_records()
        elif batch.validate_crc():
            found += batch
            parsed.next_fetch_offset = batch.next_offset
        else:
            raise CorruptRecordException(f"{fetched._topic_partition}: a batch at {batch.base_offset} is damaged")
    fetched._update_position()
    fetched._partition_records = parsed._records_iterator = None
    return found


class BatchConsumerThread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]
    """aiokafka in its thread, with partitions of joined topics kept together."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._delivered: dict[TP, int] = {}
        self._asked: dict[TP, int] = {}  # monotonic ms when the fetch was sent whose answer was the last to arrive
        self.seeks = 0  # how often all was sought
        self.fetched_after = 0  # `seeks` when the last fetch took its records

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._partition_assignment_strategy = [RangePartitionAssignor]
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS
        consumer._isolation_level = "read_committed"  # what a shop's own transaction took back has not happened
        return consumer

    async def on_start(self) -> None:
        """Note when each fetch is sent: in a process that was stopped its answer may have waited for hours."""
        await super().on_start()
        fetcher: Any = self._ensure_consumer()._fetcher
        fetch = fetcher._proc_fetch_request

        async def note(assignment: Any, node: Any, request: Any) -> Any:
            asked, wanted = monotonic_ms(), [TopicPartition(t, n) for t, parts in request.topics for n, *_ in parts]
            before = {place: getattr(assignment.state_value(place), "timestamp", None) for place in wanted}
            result = await fetch(assignment, node, request)
            for place in wanted:
                state = assignment.state_value(place)
                if state is not None and state.timestamp != before[place]:  # it was answered, not refused
                    self._asked[TP(*place)] = asked
                    self.app.moved["fetch"] = time.monotonic()
                fetched = fetcher._records.get(place)
                if hasattr(fetched, "getall"):  # else an error, or nothing
                    fetched.getall = partial(_take_whole, fetched)
            return result

        fetcher._proc_fetch_request = note

    async def commit_positions(self, positions: dict[TP, int]) -> bool:
        """Commit; False when the group has given these partitions to somebody else. Other errors are raised."""
        return bool(await self.call_thread(self._commit_positions, positions))

    async def _commit_positions(self, positions: dict[TP, int]) -> bool:
        consumer = self._ensure_consumer()
        offsets = {TopicPartition(tp.topic, tp.partition): OffsetAndMetadata(n, "") for tp, n in positions.items()}
        try:
            await consumer.commit(offsets)
        except CommitFailedError:
            return False
        return True

    @property
    def generation(self) -> int:
        """The group's generation that this worker is a member of."""
        return int(self._ensure_consumer()._coordinator.generation)

    async def seek_all(self, known: dict[TP, int]) -> dict[TP, int]:
        """Seek every assigned partition to where it is known to stand, else to what was committed, else to its start.

        Returns where they stand; raises Truncated when a topic ends before that.
        """
        return dict(await self.call_thread(self._seek_all, known))

    async def _seek_all(self, known: dict[TP, int]) -> dict[TP, int]:
        consumer = self._ensure_consumer()
        places = consumer.assignment()
        beginnings = await consumer.beginning_offsets(places) if places else {}
        ends = await consumer.end_offsets(places) if places else {}
        starts = {}
        for place in places:
            start = known.get(TP(*place))
            if start is None:
                start = await consumer.committed(place) or 0
            starts[place] = max(start, beginnings[place])  # retention may have passed it
            if starts[place] > ends[place]:
                raise Truncated(
                    f"{place.topic}[{place.partition}] ends at {ends[place]}, but {start} was committed: the topic was "
                    "made anew or has lost records, and what is written to it now would be taken for known. Delete the "
                    "group and its changelogs to begin anew"
                )
        # at one moment: a fetch takes its records before all of it or after all of it
        for place, start in starts.items():
            consumer.seek(place, start)
        self._delivered.clear()
        self._asked.clear()
        self.seeks += 1
        return {TP(*place): start for place, start in starts.items()}

    async def _fetch_records(self, *args: Any, **options: Any) -> Any:
        fetched = await super()._fetch_records(*args, **options)
        self.fetched_after = self.seeks
        for place, records in fetched.items():
            if records:
                self._delivered[TP(*place)] = records[-1].offset + 1
        return fetched

    async def ends(self) -> dict[TP, tuple[int, int]]:
        """Partitions fetched to their end: (end of the last batch handed out, monotonic ms when the end was asked for).

        Asked in the consumer's own thread, so that no batch is between the fetcher and the answer. The end is
        judged by the fetch position, which passes the markers of transactions that carry no record.
        """
        return dict(await self.call_thread(self._ends))

    def end_of(self, tp: TP) -> int | None:
        """The end of a partition as the broker last told it; from any thread."""
        subscription: Any = self._ensure_consumer()._subscription.subscription
        assignment: Any = subscription.assignment if subscription is not None else None
        state = assignment.state_value(TopicPartition(*tp)) if assignment is not None else None
        return None if state is None else state.highwater

    async def _ends(self) -> dict[TP, tuple[int, int]]:
        found = {}
        subscription: Any = self._ensure_consumer()._subscription.subscription
        assignment: Any = subscription.assignment if subscription is not None else None
        for place in assignment.tps if assignment is not None else ():
            state = assignment.state_value(place)
            asked = self._asked.get(TP(*place))
            if asked is None or not state.has_valid_position or state.position < state.highwater:
                continue
            found[TP(*place)] = (self._delivered.get(TP(*place), 0), asked)
        return found


class BatchConsumer(driver.Consumer):  # type: ignore[misc]
    """Drains whole batches; acks and commits are the app's business."""

    def _new_consumer_thread(self) -> BatchConsumerThread:
        return BatchConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def _drain_messages(self, fetcher: Any) -> None:
        app = self.app
        try:
            while not (self.should_stop or fetcher.should_stop):
                if not self.flow_active:
                    await self.wait(self.can_resume_flow)
                # a copy: the fetcher would see this set change, and takes an empty one for "all"
                active = set(self._get_active_partitions()) - app.full()
                if not active:
                    app.moved["fetch"] = time.monotonic()  # there is nothing to fetch
                    await asyncio.sleep(0.05)
                    continue
                fetched = await self._getmany(active, timeout=1.0) or {}
                after = self._thread.fetched_after
                for tp, records in fetched.items():
                    # A fetch may have waited over a whole rebalance: what it took before the seek is fetched again,
                    # what it took after the seek is not, even if the flow has not been resumed yet.
                    if not self.flow_active:
                        await self.wait(self.can_resume_flow)
                    if self.should_stop or self._thread.seeks != after:
                        break
                    if records:
                        app.hand_over()
                        await self.wait_first(self.callback(self._batch_message(tp, records)), self.suspend_flow.wait())
        except ConsumerStoppedError:
            if not app.should_stop:
                raise
        except asyncio.CancelledError:
            if not app.should_stop and not self.should_stop:
                raise

    def _batch_message(self, tp: Any, records: list[Any]) -> Any:
        batch = Batch(records)
        batch.partition = tp.partition
        last = records[-1]
        return ConsumerMessage(
            tp.topic, tp.partition, last.offset, last.timestamp / 1000, last.timestamp_type, {}, None, batch, None,
            tp=TP(tp.topic, tp.partition), generation_id=self.app.consumer_generation_id,
        )  # fmt: skip

    def track_message(self, message: Any) -> None:
        """Nothing to track: see `ack`."""

    def ack(self, message: Any) -> bool:
        """The app commits what it has finished."""
        return True

    async def commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:
        """Faust's timers commit nothing: the app does, after state and outputs are on the broker."""
        return False

    async def verify_all_partitions_active(self) -> None:
        """Faust's livelock detector reads the acks that are not kept here."""

    async def wait_empty(self) -> None:
        """Called before partitions are given back and before the worker stops: finish and commit."""
        await self.app.settle()


class Transport(driver.Transport):  # type: ignore[misc]
    """Faust's aiokafka transport with the batch consumer."""

    Consumer = BatchConsumer


class Restoring(TableManager):  # type: ignore[misc]
    """Stands where Faust's tables and their recovery stand: seek, resume what is there, restore and resume the rest."""

    _restoring: asyncio.Task[None] | None = None

    async def on_start(self) -> None:
        """Nothing to wait for: there are no Faust tables."""
        self._tables_finalized.set()
        self._tables_registered.set()

    async def on_stop(self) -> None:
        """End a restore that is under way, and let go of the partitions."""
        self._cancel()
        await self.app.release()

    def on_partitions_revoked(self, revoked: Any) -> None:
        """End a restore that is under way."""
        self._cancel()

    async def on_rebalance(self, assigned: Any, revoked: Any, newly_assigned: Any, generation_id: int = 0) -> None:
        """Restore in the background: the group must not wait for it."""
        self._cancel()
        self._restoring = asyncio.create_task(self._restore({TP(tp.topic, tp.partition) for tp in assigned}))

    async def wait_until_recovery_completed(self) -> bool:
        """The app's own tasks need not wait."""
        return False

    def _cancel(self) -> None:
        if self._restoring is not None:
            self._restoring.cancel()

    async def _restore(self, assigned: set[TP]) -> None:
        app = self.app
        try:
            await app.on_rebalance_complete.send()
            await app.assign(assigned)
            app.flow_control.clear()
            app.consumer.pause_partitions(assigned)
            app.consumer.resume_partitions(app.ready(assigned))
            app.flow_control.resume()
            app.consumer.resume_flow()
            await app._fetcher.maybe_start()
            self.actives_ready = self.standbys_ready = True
            app.on_rebalance_end()
            await app.restore(assigned)
        except asyncio.CancelledError:
            raise
        except Exception as exc:  # the worker must end: half-restored state may not run
            await app.fail(exc)
