"""The running maximum of each instrument in Quix Streams: over a dict, or over its state in RocksDB."""

from __future__ import annotations

from typing import Any

from quixstreams import Application, State
from report import Report, arguments


def main() -> None:
    options = arguments()
    report = Report(0, options.records)
    app = Application(
        broker_address=options.bootstrap,
        consumer_group=options.group,
        auto_offset_reset="earliest",
        state_dir=options.folder,
        auto_create_topics=True,
        loglevel="WARNING",
        consumer_extra_config={
            "queued.min.messages": 1_000_000,
            "queued.max.messages.kbytes": 1_000_000,
            "max.partition.fetch.bytes": 4 << 20,
            "fetch.wait.max.ms": 10,
            "fetch.queue.backoff.ms": 5,
        },
        producer_extra_config={"linger.ms": 10},
    )
    ticks = app.topic(options.topic, key_deserializer="str", value_deserializer="json")
    output = app.topic(options.output, key_serializer="str", value_serializer="json")
    memory: dict[str, float] = {}

    def fold_stored(tick: dict[str, Any], state: State) -> dict[str, str] | None:
        price = float(tick["price"])
        best = state.get("maximum")
        report.record()
        if best is not None and price <= best:
            return None
        state.set("maximum", price)
        return {"instrument": tick["instrument"], "price": str(price)}

    def fold_in_memory(tick: dict[str, Any]) -> dict[str, str] | None:
        price = float(tick["price"])
        best = memory.get(tick["instrument"])
        report.record()
        if best is not None and price <= best:
            return None
        memory[tick["instrument"]] = price
        return {"instrument": tick["instrument"], "price": str(price)}

    stream = app.dataframe(ticks)
    if options.store == "rocksdb":
        stream = stream.apply(fold_stored, stateful=True)
    else:
        stream = stream.apply(fold_in_memory)
    stream = stream.filter(lambda found: found is not None)
    stream.to_topic(output)
    app.run()


if __name__ == "__main__":
    main()
