from serving_fixtures import nothing_left, quiet

__all__ = ["nothing_left", "quiet"]
