/*
 * Greenlet-local attributes.
 *
 * A local has one dictionary a greenlet.  The one of the greenlet that ran
 * last is its instance dictionary; every access first puts the current
 * greenlet's there, then looks attributes up as any object does.
 *
 * A record a greenlet says which locals have a dictionary for it.  They are
 * dropped when the greenlet is destroyed, or before, when it is one that
 * tells of its end by rawlink().
 */
#include "greenlets.h"
#include "links.h"

#include <string.h>

typedef struct {
    PyObject_HEAD
    PyObject *weakrefs;
    PyObject *dict;       /* of `owner`; borrowed from `dicts` */
    const void *owner;    /* the greenlet that ran last, or NULL */
    struct map {
        struct entry {
            const void *key;
            void *value;
        } *entries;
        size_t count, mask;
    } dicts;              /* greenlet -> dictionary, owned */
    PyObject *args, *keywords; /* for __init__ in each greenlet; or NULL */
} LocalObject;

/* What there is to drop for one greenlet. */
typedef struct {
    const void *greenlet;
    PyObject *reference; /* a weak one, calling forget() */
    LocalObject **locals;
    size_t count, capacity;
} record;

static struct map records; /* by greenlet, and by reference */
static PyObject *forget_function, *str_rawlink, *str_init;
static PyTypeObject *local_type;

/* ---- maps by pointer ----------------------------------------------------- */

static size_t home(const struct map *map, const void *key)
{
    uint64_t bits = (uint64_t)(uintptr_t)key * UINT64_C(0x9E3779B97F4A7C15);
    return (size_t)(bits >> 32) & map->mask;
}

static struct entry *map_find(const struct map *map, const void *key)
{
    if (!map->entries)
        return NULL;
    for (size_t i = home(map, key);; i = (i + 1) & map->mask) {
        struct entry *entry = &map->entries[i];
        if (!entry->key)
            return NULL;
        if (entry->key == key)
            return entry;
    }
}

static void *map_get(const struct map *map, const void *key)
{
    struct entry *entry = map_find(map, key);
    return entry ? entry->value : NULL;
}

static void map_place(struct map *map, const void *key, void *value)
{
    size_t i = home(map, key);
    while (map->entries[i].key)
        i = (i + 1) & map->mask;
    map->entries[i] = (struct entry){key, value};
    map->count++;
}

static int map_resize(struct map *map, size_t capacity)
{
    struct map larger = {.mask = capacity - 1};
    larger.entries = PyMem_Calloc(capacity, sizeof *larger.entries);
    if (!larger.entries) {
        PyErr_NoMemory();
        return -1;
    }
    for (size_t i = 0; map->entries && i <= map->mask; i++) {
        if (map->entries[i].key)
            map_place(&larger, map->entries[i].key, map->entries[i].value);
    }
    PyMem_Free(map->entries);
    *map = larger;
    return 0;
}

static int map_add(struct map *map, const void *key, void *value)
{
    size_t capacity = map->entries ? map->mask + 1 : 0;
    if ((map->count + 1) * 4 > capacity * 3
        && map_resize(map, capacity ? capacity * 2 : 4) < 0)
        return -1;
    map_place(map, key, value);
    return 0;
}

static void *map_remove(struct map *map, const void *key)
{
    struct entry *entry = map_find(map, key);
    if (!entry)
        return NULL;
    void *value = entry->value;
    size_t hole = (size_t)(entry - map->entries);
    for (size_t i = (hole + 1) & map->mask; map->entries[i].key;
         i = (i + 1) & map->mask) {
        size_t start = home(map, map->entries[i].key);
        if (((i - start) & map->mask) >= ((i - hole) & map->mask)) {
            map->entries[hole] = map->entries[i];
            hole = i;
        }
    }
    map->entries[hole] = (struct entry){NULL, NULL};
    map->count--;
    return value;
}

static void map_free(struct map *map)
{
    PyMem_Free(map->entries);
    memset(map, 0, sizeof *map);
}

/* ---- records ------------------------------------------------------------- */

/* Greenlets with a rawlink() announce their end, before they are destroyed. */
static int ask_for_end(PyObject *greenlet)
{
    PyObject *rawlink = PyObject_GetAttr(greenlet, str_rawlink);
    if (!rawlink) {
        PyErr_Clear();
        return 0;
    }
    PyObject *result =
        PyObject_CallFunctionObjArgs(rawlink, forget_function, NULL);
    Py_DECREF(rawlink);
    Py_XDECREF(result);
    return result ? 0 : -1;
}

static void record_free(record *old)
{
    map_remove(&records, old->greenlet);
    if (old->reference)
        map_remove(&records, old->reference);
    Py_XDECREF(old->reference);
    PyMem_Free(old->locals);
    PyMem_Free(old);
}

static record *record_new(PyObject *greenlet)
{
    record *new = PyMem_Calloc(1, sizeof *new);
    if (!new) {
        PyErr_NoMemory();
        return NULL;
    }
    new->greenlet = greenlet;
    new->reference = PyWeakref_NewRef(greenlet, forget_function);
    if (!new->reference || map_add(&records, greenlet, new) < 0
        || map_add(&records, new->reference, new) < 0
        || ask_for_end(greenlet) < 0) {
        record_free(new);
        return NULL;
    }
    return new;
}

static int record_add(record *to, LocalObject *local)
{
    if (to->count == to->capacity) {
        size_t capacity = to->capacity ? to->capacity * 2 : 2;
        LocalObject **locals =
            PyMem_Realloc(to->locals, capacity * sizeof *locals);
        if (!locals) {
            PyErr_NoMemory();
            return -1;
        }
        to->locals = locals;
        to->capacity = capacity;
    }
    to->locals[to->count++] = local;
    return 0;
}

static void record_discard(const void *greenlet, const LocalObject *local)
{
    record *from = map_get(&records, greenlet);
    for (size_t i = 0; from && i < from->count; i++) {
        if (from->locals[i] == local) {
            memmove(&from->locals[i], &from->locals[i + 1],
                    (--from->count - i) * sizeof *from->locals);
            return;
        }
    }
}

/* Take a greenlet's dictionary out of a local; owned by the caller. */
static PyObject *detach(LocalObject *self, const void *greenlet)
{
    if (self->owner == greenlet) {
        self->owner = NULL;
        self->dict = NULL;
    }
    return map_remove(&self->dicts, greenlet);
}

/* Called with a weak reference whose greenlet is gone, or with a greenlet
 * that has ended. */
static PyObject *forget(PyObject *Py_UNUSED(module), PyObject *key)
{
    record *ended;
    /* Dropping a dictionary can run code that changes everything. */
    while ((ended = map_get(&records, key)) != NULL && ended->count)
        Py_XDECREF(
            detach(ended->locals[--ended->count], ended->greenlet));
    if (ended)
        record_free(ended);
    Py_RETURN_NONE;
}

/* ---- the current dictionary ---------------------------------------------- */

static PyObject *add_dict(LocalObject *self, PyObject *greenlet)
{
    record *record_of = map_get(&records, greenlet);
    if (!record_of)
        record_of = record_new(greenlet);
    if (!record_of)
        return NULL;
    PyObject *dict = PyDict_New();
    if (!dict || record_add(record_of, self) < 0) {
        Py_XDECREF(dict);
        return NULL;
    }
    if (map_add(&self->dicts, greenlet, dict) < 0) {
        record_of->count--;
        Py_DECREF(dict);
        return NULL;
    }
    return dict;
}

static int call_init(LocalObject *self)
{
    PyObject *init =
        PyObject_GetAttr((PyObject *)Py_TYPE((PyObject *)self), str_init);
    PyObject *bound = init ? PySequence_List(self->args) : NULL;
    if (bound && PyList_Insert(bound, 0, (PyObject *)self) < 0)
        Py_CLEAR(bound);
    PyObject *args = bound ? PyList_AsTuple(bound) : NULL;
    PyObject *result =
        args ? PyObject_Call(init, args, self->keywords) : NULL;
    Py_XDECREF(init);
    Py_XDECREF(bound);
    Py_XDECREF(args);
    Py_XDECREF(result);
    return result ? 0 : -1;
}

static void install(LocalObject *self, const void *greenlet, PyObject *dict)
{
    self->owner = greenlet;
    self->dict = dict;
}

/* The first time in a greenlet: as if the object was made anew. */
static int enter_greenlet(LocalObject *self, PyObject *greenlet)
{
    PyObject *dict = add_dict(self, greenlet);
    if (!dict)
        return -1;
    install(self, greenlet, dict);
    if (!self->args)
        return 0;
    if (call_init(self) == 0) {
        dict = map_get(&self->dicts, greenlet);
        install(self, dict ? greenlet : NULL, dict);
        return 0;
    }
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    record_discard(greenlet, self);
    Py_XDECREF(detach(self, greenlet));
    PyErr_Restore(type, value, traceback);
    return -1;
}

/* The interpreter ends and no greenlet can be told from another: what is
 * there has to do, or a dictionary for all that is still to come. */
static int keep_dict(LocalObject *self)
{
    static const char afterwards;
    PyErr_Clear();
    if (self->dict)
        return 0;
    PyObject *dict = PyDict_New();
    if (!dict || map_add(&self->dicts, &afterwards, dict) < 0) {
        Py_XDECREF(dict);
        return -1;
    }
    install(self, &afterwards, dict);
    return self->args ? call_init(self) : 0;
}

/* Put the current greenlet's dictionary in place. */
static int switch_dict(LocalObject *self)
{
    PyObject *greenlet = accel_current_greenlet();
    if (!greenlet)
        return keep_dict(self);
    int failed = 0;
    if (self->owner != greenlet) {
        PyObject *dict = map_get(&self->dicts, greenlet);
        if (dict)
            install(self, greenlet, dict);
        else
            failed = enter_greenlet(self, greenlet);
    }
    Py_DECREF(greenlet);
    return failed;
}

/* ---- the type ------------------------------------------------------------ */

static PyObject *local_getattro(PyObject *self, PyObject *name)
{
    if (switch_dict((LocalObject *)self) < 0)
        return NULL;
    return PyObject_GenericGetAttr(self, name);
}

static int local_setattro(PyObject *self, PyObject *name, PyObject *value)
{
    if (switch_dict((LocalObject *)self) < 0)
        return -1;
    return PyObject_GenericSetAttr(self, name, value);
}

static PyObject *get_dict(PyObject *self, void *Py_UNUSED(closure))
{
    LocalObject *local = (LocalObject *)self;
    if (switch_dict(local) < 0)
        return NULL;
    Py_INCREF(local->dict);
    return local->dict;
}

static int set_dict(PyObject *self, PyObject *Py_UNUSED(value),
                    void *Py_UNUSED(closure))
{
    PyErr_Format(PyExc_AttributeError,
                 "%R object attribute '__dict__' is read-only",
                 (PyObject *)Py_TYPE(self));
    return -1;
}

/* Arguments are for an __init__; without one they are a mistake. */
static int check_arguments(PyTypeObject *type, PyObject *args,
                           PyObject *keywords)
{
    PyObject *init = PyObject_GetAttr((PyObject *)type, str_init);
    PyObject *plain =
        PyObject_GetAttr((PyObject *)&PyBaseObject_Type, str_init);
    int overridden = init && plain ? init != plain : -1;
    Py_XDECREF(init);
    Py_XDECREF(plain);
    if (overridden)
        return overridden;
    if (PyTuple_Size(args) || (keywords && PyDict_Size(keywords))) {
        PyErr_SetString(PyExc_TypeError,
                        "Initialization arguments are not supported");
        return -1;
    }
    return 0;
}

static PyObject *local_new(PyTypeObject *type, PyObject *args,
                           PyObject *keywords)
{
    int has_init = check_arguments(type, args, keywords);
    if (has_init < 0)
        return NULL;
    allocfunc alloc = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    LocalObject *self = (LocalObject *)alloc(type, 0);
    if (!self)
        return NULL;
    /* type.__call__ runs __init__ for this greenlet. */
    if (switch_dict(self) < 0) {
        Py_DECREF((PyObject *)self);
        return NULL;
    }
    if (has_init) {
        Py_INCREF(args);
        self->args = args;
        Py_XINCREF(keywords);
        self->keywords = keywords;
    }
    return (PyObject *)self;
}

static int local_traverse(PyObject *self, visitproc visit, void *arg)
{
    LocalObject *local = (LocalObject *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(local->args);
    Py_VISIT(local->keywords);
    for (size_t i = 0; local->dicts.entries && i <= local->dicts.mask; i++)
        Py_VISIT((PyObject *)local->dicts.entries[i].value);
    return 0;
}

static int local_clear(PyObject *self)
{
    LocalObject *local = (LocalObject *)self;
    struct map dicts = local->dicts;
    memset(&local->dicts, 0, sizeof local->dicts);
    local->owner = NULL;
    local->dict = NULL;
    for (size_t i = 0; dicts.entries && i <= dicts.mask; i++) {
        if (dicts.entries[i].key)
            record_discard(dicts.entries[i].key, local);
    }
    for (size_t i = 0; dicts.entries && i <= dicts.mask; i++)
        Py_XDECREF((PyObject *)dicts.entries[i].value);
    map_free(&dicts);
    Py_CLEAR(local->args);
    Py_CLEAR(local->keywords);
    return 0;
}

static void local_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    if (((LocalObject *)self)->weakrefs)
        PyObject_ClearWeakRefs(self);
    local_clear(self);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

static PyObject *local_copy(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    LocalObject *local = (LocalObject *)self;
    if (switch_dict(local) < 0)
        return NULL;
    PyObject *values = PyDict_Copy(local->dict);
    PyObject *args =
        local->args ? local->args : PyTuple_New(0);
    PyObject *copy =
        values && args ? PyObject_Call((PyObject *)Py_TYPE(self), args,
                                       local->keywords)
                       : NULL;
    if (copy
        && (switch_dict((LocalObject *)copy) < 0
            || PyDict_Update(((LocalObject *)copy)->dict, values) < 0))
        Py_CLEAR(copy);
    Py_XDECREF(values);
    if (args != local->args)
        Py_XDECREF(args);
    return copy;
}

static PyMethodDef local_methods[] = {
    {"__copy__", local_copy, METH_NOARGS, NULL}, {NULL, NULL, 0, NULL}};
static PyGetSetDef local_getset[] = {
    {"__dict__", get_dict, set_dict, "The current greenlet's attributes.",
     NULL},
    {NULL, NULL, NULL, NULL, NULL}};
static PyMemberDef local_members[] = {
    {"__dictoffset__", T_PYSSIZET, offsetof(LocalObject, dict), READONLY,
     NULL},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(LocalObject, weakrefs),
     READONLY, NULL},
    {NULL, 0, 0, 0, NULL}};
static PyType_Slot local_slots[] = {
    {Py_tp_doc, "Local()\n--\n\nAn object with other attributes in each "
                "greenlet."},
    {Py_tp_new, local_new},
    {Py_tp_traverse, local_traverse},
    {Py_tp_clear, local_clear},
    {Py_tp_dealloc, local_dealloc},
    {Py_tp_getattro, local_getattro},
    {Py_tp_setattro, local_setattro},
    {Py_tp_methods, local_methods},
    {Py_tp_getset, local_getset},
    {Py_tp_members, local_members},
    {0, NULL}};
static PyType_Spec local_spec = {
    .name = "libgcore._accel.Local",
    .basicsize = sizeof(LocalObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = local_slots,
};

/* [(local, its dictionary for that greenlet)] */
static PyObject *local_dicts(PyObject *Py_UNUSED(module), PyObject *greenlet)
{
    PyObject *list = PyList_New(0);
    record *found = map_get(&records, greenlet);
    for (size_t i = 0; list && found && i < found->count; i++) {
        LocalObject *local = found->locals[i];
        PyObject *pair =
            PyTuple_Pack(2, (PyObject *)local,
                         (PyObject *)map_get(&local->dicts, greenlet));
        if (!pair || PyList_Append(list, pair) < 0)
            Py_CLEAR(list);
        Py_XDECREF(pair);
    }
    return list;
}

static PyMethodDef forget_method = {"_forget_locals", forget, METH_O, NULL};
static PyMethodDef functions[] = {
    {"local_dicts", local_dicts, METH_O,
     "local_dicts($module, greenlet, /)\n--\n\nA list of (local, attributes "
     "in that greenlet)."},
    {NULL, NULL, 0, NULL}};

int accel_local_init(PyObject *module)
{
    str_rawlink = PyUnicode_InternFromString("rawlink");
    str_init = PyUnicode_InternFromString("__init__");
    forget_function = PyCFunction_NewEx(&forget_method, NULL, NULL);
    if (!str_rawlink || !str_init || !forget_function)
        return -1;
    local_type = accel_add_type(module, &local_spec, NULL);
    return local_type ? PyModule_AddFunctions(module, functions) : -1;
}
