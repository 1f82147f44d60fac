/* The module: errors, types, and the concept files put together. */
#include "accel.h"

#include <string.h>

PyObject *accel_import(const char *module, const char *name)
{
    PyObject *from = PyImport_ImportModule(module);
    PyObject *found = from ? PyObject_GetAttrString(from, name) : NULL;
    Py_XDECREF(from);
    return found;
}

PyTypeObject *accel_add_type(PyObject *module, PyType_Spec *spec,
                             PyObject *base)
{
    PyObject *bases = base ? PyTuple_Pack(1, base) : NULL;
    if (base && !bases)
        return NULL;
    PyObject *type = PyType_FromSpecWithBases(spec, bases);
    Py_XDECREF(bases);
    if (!type)
        return NULL;
    const char *name = strrchr(spec->name, '.') + 1;
    Py_INCREF(type); /* the concept file keeps one */
    if (PyModule_AddObject(module, name, type) < 0) {
        Py_DECREF(type);
        Py_DECREF(type);
        return NULL;
    }
    return (PyTypeObject *)type;
}

static int (*const concepts[])(PyObject *module) = {
    accel_greenlets_init, accel_callback_init,  accel_wait_init,
    accel_loop_init,      accel_watcher_init,   accel_chunks_init,
    accel_task_init,      accel_event_init,     accel_semaphore_init,
    accel_local_init,     accel_timeout_init,   accel_netio_init,
    accel_socket_init,    accel_taskqueue_init, accel_names_init,
    accel_http_init,
};

/* Apart from the rest, as the standard `queue` it needs imports `threading`
 * and others that a program without queues does not want to pay for. */
static PyObject *load_queues(PyObject *module, PyObject *Py_UNUSED(ignored))
{
    static bool loaded;
    if (!loaded && accel_queue_init(module) < 0)
        return NULL;
    loaded = true;
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"load_queues", load_queues, METH_NOARGS,
     "Add the types of queues, and ShutDown, to this module."},
    {NULL, NULL, 0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "libgcore._accel",
    .m_doc = "What must be one step, or must not let go of the GIL.",
    .m_size = -1,
    .m_methods = methods,
};

/* The loader takes the first libgcore.so.0 of a process for all of them. */
static bool engine_is_ours(void)
{
    if (gcore_version_number() >= GCORE_VERSION_MAJOR * 10000 +
                                      GCORE_VERSION_MINOR * 100 +
                                      GCORE_VERSION_PATCH)
        return true;
    PyErr_Format(PyExc_ImportError, "the loaded libgcore is %s, older than "
                 "%d.%d.%d", gcore_version(), GCORE_VERSION_MAJOR,
                 GCORE_VERSION_MINOR, GCORE_VERSION_PATCH);
    return false;
}

PyMODINIT_FUNC PyInit__accel(void)
{
    PyObject *module = engine_is_ours() ? PyModule_Create(&definition) : NULL;
    if (!module)
        return NULL;
    for (size_t i = 0; i < sizeof concepts / sizeof *concepts; i++) {
        if (concepts[i](module) < 0) {
            Py_DECREF(module);
            return NULL;
        }
    }
    return module;
}
