"""The running maximum of each instrument as a Bytewax dataflow: Kafka in, a stateful step by key, Kafka out."""

from __future__ import annotations

import bytewax.operators as op
import orjson
from bytewax.connectors.kafka import KafkaSinkMessage, KafkaSourceMessage
from bytewax.connectors.kafka import operators as kop
from bytewax.dataflow import Dataflow
from bytewax.run import cli_main
from report import Report, arguments

BATCH = 5_000


def main() -> None:
    options = arguments()
    report = Report(0, options.records)

    def read(message: KafkaSourceMessage) -> tuple[str, float]:
        tick = orjson.loads(message.value)
        return tick["instrument"], float(tick["price"])

    def fold(best: float | None, price: float) -> tuple[float | None, list[float]]:
        report.record()
        if best is not None and price <= best:
            return best, []
        return price, [price]

    def write(found: tuple[str, float]) -> KafkaSinkMessage:
        instrument, price = found
        value = orjson.dumps({"instrument": instrument, "price": str(price)})
        return KafkaSinkMessage(instrument.encode(), value)

    consumer = {
        "queued.min.messages": "1000000",
        "queued.max.messages.kbytes": "1000000",
        "max.partition.fetch.bytes": str(4 << 20),
        "fetch.wait.max.ms": "10",
        "fetch.queue.backoff.ms": "5",
    }
    flow = Dataflow("running-maximum")
    ticks = kop.input(
        "ticks", flow, brokers=[options.bootstrap], topics=[options.topic], batch_size=BATCH, add_config=consumer
    )
    found = op.stateful_flat_map("fold", op.map("read", ticks.oks, read), fold)
    producer = {"linger.ms": "10", "partitioner": "murmur2_random"}
    kop.output(
        "out", op.map("write", found, write), brokers=[options.bootstrap], topic=options.output, add_config=producer
    )
    cli_main(flow)


if __name__ == "__main__":
    main()
