"""52-week breakouts and momentum from ticks on Kafka, joined with the news that explains them."""

__version__ = "0.1.0"
