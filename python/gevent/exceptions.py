"""Exceptions of the hub and its objects."""
from greenlet import GreenletExit

__all__ = [
    'LoopExit',
    'BlockingSwitchOutError',
    'InvalidSwitchError',
    'ConcurrentObjectUseError',
    'InvalidThreadUseError',
    'HubDestroyed',
]


class LoopExit(Exception):
    """Raised in a thread's root greenlet when its hub has nothing left to
    wait for, so that whoever blocks there would block forever.

    The second argument is the hub; the third, a list of facts on why: who is
    parked, and on what.
    """

    @property
    def hub(self):
        """The hub that ran out of work, or None."""
        return self.args[1] if len(self.args) > 1 else None

    def __repr__(self):
        if len(self.args) != 3:
            return super().__repr__()
        message, hub, facts = self.args
        return '%s\n\tHub: %s\n\tHandles:\n%s' % (
            message, hub, _lines(facts))

    def __str__(self):
        return repr(self)


def _lines(facts):
    if isinstance(facts, list) and all(
            isinstance(fact, str) for fact in facts):
        return '\n'.join('\t\t' + fact for fact in facts)
    from pprint import pformat  # costly to import, rarely needed
    return pformat(facts)


class BlockingSwitchOutError(AssertionError):
    """A function that blocks was called from a callback of the hub."""


class InvalidSwitchError(AssertionError):
    """A greenlet was switched to by something other than what it waits for."""


class ConcurrentObjectUseError(AssertionError):
    """An object is used by two greenlets at once that allows only one."""


class InvalidThreadUseError(RuntimeError):
    """An object was used from a thread it does not belong to."""


class HubDestroyed(GreenletExit):
    """Thrown into a hub to end it; internal.

    ``destroy_loop`` says whether its loop goes with it.
    """

    destroy_loop = None

    def __init__(self, destroy_loop):
        GreenletExit.__init__(self, destroy_loop)
        self.destroy_loop = destroy_loop
