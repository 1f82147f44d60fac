from descriptor_fixtures import nothing_left
from serving_fixtures import quiet

__all__ = ["nothing_left", "quiet"]
