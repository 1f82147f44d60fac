"""
The functions with which everything else in this package patches; third parties
use them, too.
"""
from gevent._util import _NONE
from gevent.events import DoNotPatch
from gevent.events import GeventDidPatchModuleEvent
from gevent.events import GeventWillPatchModuleEvent
from gevent.monkey._errors import _BadImplements
from gevent.monkey._state import _get_original
from gevent.monkey._state import _save

__all__ = [
    'get_original',
    'patch_item',
    'patch_module',
    'remove_item',
]


def get_original(mod_name, item_name):
    """What a module had before it was patched, if it was.

    :param mod_name: the name of a module of the standard library, or a sequence
        of names of which the first that can be imported is taken.
    :param item_name: the name of an attribute, or a sequence of names.
    :return: the object, or a list of objects.
    :raise ImportError: when there is no such module.
    :raise AttributeError: when it has no such attribute.
    """
    mod_names = [mod_name] if isinstance(mod_name, str) else list(mod_name)
    item_names = [item_name] if isinstance(item_name, str) else item_name
    for name in mod_names[:-1]:
        try:
            originals = _get_original(name, item_names)
        except ImportError:
            continue
        break
    else:
        originals = _get_original(mod_names[-1], item_names)
    return originals[0] if isinstance(item_name, str) else originals


def patch_item(module, attr, newitem):
    """Make *newitem* the attribute *attr* of *module*; save what was there."""
    olditem = getattr(module, attr, _NONE)
    if olditem is not _NONE:
        _save(module, attr, olditem)
    setattr(module, attr, newitem)


def remove_item(module, attr):
    """Remove the attribute *attr* of *module*, if there; save what was there."""
    olditem = getattr(module, attr, _NONE)
    if olditem is _NONE:
        return
    _save(module, attr, olditem)
    delattr(module, attr)


class _GeventDoPatchRequest:
    """What to patch, for a source module that does it by itself."""

    get_original = staticmethod(get_original)

    def __init__(self, target_module, source_module, items, patch_kwargs):
        self.target_module = target_module
        self.source_module = source_module
        self.items = items
        self.patch_kwargs = patch_kwargs or {}

    def __repr__(self):
        return '<%s target=%r source=%r items=%r kwargs=%r>' % (
            type(self).__name__, self.target_module, self.source_module,
            self.items, self.patch_kwargs)

    def default_patch_items(self):
        """Replace every item of the target with that of the source."""
        for attr in self.items:
            patch_item(self.target_module, attr,
                       getattr(self.source_module, attr))

    def remove_item(self, target_module, *items):
        """Remove the attributes *items* of *target_module*, which may be
        another one than the target."""
        if isinstance(target_module, str):
            items = (target_module,) + items
            target_module = self.target_module
        for item in items:
            remove_item(target_module, item)


def patch_module(target_module, source_module, items=None,
                 _warnings=None,
                 _patch_kwargs=None,
                 _notify_will_subscribers=True,
                 _notify_did_subscribers=True,
                 _call_hooks=True):
    """Replace attributes of *target_module* with those of *source_module*.

    The source may have:

    ``__implements__``
        the names to replace (list of str).
    ``_gevent_will_monkey_patch(target_module, items, warn)``
        called first. It may change *items*, call *warn* with a text, and raise
        `gevent.events.DoNotPatch`.
    ``_gevent_do_monkey_patch(request)``
        called in place of replacing; ``request.default_patch_items()`` does so.
    ``_gevent_did_monkey_patch(target_module, items, warn)``
        called at the end.

    Subscribers of `gevent.events` are told after each of the source's own
    functions.

    :param items: the names to replace (list of str), in place of
        ``__implements__``.
    :return: was it done? (bool)
    """
    if items is None:
        items = getattr(source_module, '__implements__', None)
        if items is None:
            raise _BadImplements(source_module)
    try:
        if _call_hooks:
            _call_module_hook(source_module, 'will', target_module, items,
                              _warnings)
        if _notify_will_subscribers:
            _notify(GeventWillPatchModuleEvent(
                target_module.__name__, source_module, target_module, items),
                    _warnings)
    except DoNotPatch:
        return False

    do_patch = getattr(source_module, '_gevent_do_monkey_patch',
                       _GeventDoPatchRequest.default_patch_items)
    do_patch(_GeventDoPatchRequest(target_module, source_module, items,
                                   _patch_kwargs))

    if _call_hooks:
        _call_module_hook(source_module, 'did', target_module, items, _warnings)
    if _notify_did_subscribers:
        # Too late to prevent it.
        _notify(GeventDidPatchModuleEvent(
            target_module.__name__, source_module, target_module), _warnings)
    return True


def _call_module_hook(source_module, kind, target_module, items, _warnings):
    hook = getattr(source_module, '_gevent_%s_monkey_patch' % kind, None)
    if hook is None:
        return

    def warn(message):
        from gevent.monkey._util import _queue_warning
        _queue_warning(message, _warnings)

    hook(target_module, items, warn)


def _notify(event, _warnings):
    from gevent.monkey._util import _notify_patch
    _notify_patch(event, _warnings)
