"""The running maximum of each instrument in a bare confluent-kafka loop: a dict, and no commits."""

from __future__ import annotations

import orjson
from client import Output, messages
from report import Report, arguments


def main() -> None:
    options = arguments()
    report = Report(0, options.records)
    output = Output(options)
    maximum: dict[str, float] = {}
    for value in messages(options):
        tick = orjson.loads(value)
        instrument = tick["instrument"]
        price = float(tick["price"])
        best = maximum.get(instrument)
        if best is None or price > best:
            maximum[instrument] = price
            output.send(instrument, orjson.dumps({"instrument": instrument, "price": str(price)}))
        report.record()


if __name__ == "__main__":
    main()
