"""The running maximum of each instrument as Faust's documentation shows it: an agent over a table."""

from __future__ import annotations

import mode.loop

mode.loop.use("uvloop")  # before anything asks for an event loop

import faust  # noqa: E402  the event loop is chosen first
import mode  # noqa: E402  the event loop is chosen first
from report import Report, arguments  # noqa: E402  the event loop is chosen first

PARTITIONS = 4


class Tick(faust.Record, serializer="json"):
    """A trade; what else it carries is left out."""

    instrument: str
    price: str


def main() -> None:
    options = arguments()
    report = Report(0, options.records)
    app = faust.App(
        options.group,
        broker=f"kafka://{options.bootstrap}",
        store="memory://",
        datadir=options.folder,
        topic_partitions=PARTITIONS,
        topic_replication_factor=1,
        consumer_auto_offset_reset="earliest",
        consumer_max_fetch_size=4 << 20,
        broker_max_poll_records=5_000,
        stream_buffer_maxsize=16_384,
        stream_wait_empty=False,
        producer_linger_ms=10,
        web_enabled=False,
        autodiscover=False,
    )
    ticks = app.topic(options.topic, value_type=Tick)
    output = app.topic(options.output)
    maximum = app.Table("maximum", default=float, partitions=PARTITIONS)

    @app.agent(ticks)
    async def fold(stream: faust.StreamT[Tick]) -> None:
        async for tick in stream:
            price = float(tick.price)
            if price > maximum[tick.instrument]:
                maximum[tick.instrument] = price
                await output.send(
                    key=tick.instrument.encode(), value={"instrument": tick.instrument, "price": str(price)}
                )
            report.record()

    mode.Worker(app, loglevel="warning", override_logging=False).execute_from_commandline()


if __name__ == "__main__":
    main()
