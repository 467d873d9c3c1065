"""The running maximum of each instrument as a csp graph: bursts from Kafka, one node with a dict, and back to Kafka."""

# csp reads annotations as values, so they are not postponed here.
import argparse
from datetime import UTC, datetime, timedelta

import csp
from csp import ts
from csp.adapters.kafka import DateTimeType, JSONTextMessageMapper, KafkaAdapterManager
from report import Report, arguments


class Tick(csp.Struct):
    """A trade; what else it carries is left out."""

    instrument: str
    price: str


class Maximum(csp.Struct):
    """A new maximum."""

    instrument: str
    price: str


@csp.node  # noqa: RET503  what returns nothing sends nothing
def fold(ticks: ts[list[Tick]], report: Report) -> ts[list[Maximum]]:
    with csp.state():
        s_maximum = dict[str, float]()

    if csp.ticked(ticks):
        found = []
        for tick in ticks:
            price = float(tick.price)
            best = s_maximum.get(tick.instrument)
            if best is None or price > best:
                s_maximum[tick.instrument] = price
                found.append(Maximum(instrument=tick.instrument, price=str(price)))
            report.record()
        if found:
            return found


@csp.graph
def running_maximum(options: argparse.Namespace, report: Report) -> None:
    kafka = KafkaAdapterManager(
        options.bootstrap,
        group_id=options.group,
        rd_kafka_consumer_conf_options={
            "queued.min.messages": "1000000",
            "queued.max.messages.kbytes": "1000000",
            "max.partition.fetch.bytes": str(4 << 20),
            "fetch.wait.max.ms": "10",
            "fetch.queue.backoff.ms": "5",
        },
        rd_kafka_producer_conf_options={"linger.ms": "10", "partitioner": "murmur2_random"},
    )
    mapper = JSONTextMessageMapper(datetime_type=DateTimeType.UINT64_NANOS)
    ticks = kafka.subscribe(Tick, mapper, options.topic, push_mode=csp.PushMode.BURST)
    found = csp.unroll(fold(ticks, report))
    kafka.publish(mapper, options.output, "instrument", found)


def main() -> None:
    options = arguments()
    report = Report(0, options.records)
    csp.run(running_maximum, options, report, starttime=datetime.now(UTC), endtime=timedelta(hours=1), realtime=True)


if __name__ == "__main__":
    main()
