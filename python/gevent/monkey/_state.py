"""
What has been patched.
"""

__all__ = [
    'is_anything_patched',
    'is_module_patched',
    'is_object_patched',
    'saved',
]

#: The originals of what was replaced: ``{module name: {attribute: object}}``.
#: It also holds, as if it were a module, the arguments of `patch_all`.
saved = {}


def is_anything_patched():
    """Has anything been patched? (bool)"""
    return bool(saved)


def is_module_patched(mod_name):
    """Has anything been replaced in the module named *mod_name*? (bool)

    It may have been only a part of the module.
    """
    return mod_name in saved


def is_object_patched(mod_name, item_name):
    """Has *item_name* been replaced in the module named *mod_name*? (bool)"""
    return item_name in saved.get(mod_name, ())


def _save(module, attr_name, item):
    # The first one saved is the original; later ones are ours.
    saved.setdefault(module.__name__, {}).setdefault(attr_name, item)


def _get_original(name, items):
    """The original objects of the names *items* in the module *name*."""
    originals = saved.get(name, {})
    found = []
    module = None
    for item in items:
        if item in originals:
            found.append(originals[item])
        else:
            if module is None:
                from importlib import import_module
                module = import_module(name)
            found.append(getattr(module, item))
    return found
