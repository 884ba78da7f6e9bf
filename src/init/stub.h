/* What init says to the code that it puts into a warm interpreter (stub.c, warm.c). */
#ifndef CJ_INIT_STUB_H
#define CJ_INIT_STUB_H

#include <linux/filter.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/user.h>

#include "init/protocol.h"

enum {
    STUB_MAGIC = 0x636a7374,
    STUB_CONTROL_FD = 3, /* SEQPACKET: commands of init */
    STUB_FDS_MAX = 32,
    STUB_FILTER_MAX = 8,
    STUB_CLOSED = 0xffff,
};

/* What the stub calls in a CPython, by its C API; finalize 0: it is none, or has not all of them. */
struct stub_python {
    uint64_t is_initialized;      /* Py_IsInitialized */
    uint64_t ensure, release;     /* PyGILState_ */
    uint64_t dict_new, get_item;  /* PyDict_New, PyDict_GetItemString */
    uint64_t run;                 /* PyRun_StringFlags */
    uint64_t call;                /* PyObject_CallObject */
    uint64_t as_long;             /* PyLong_AsLong */
    uint64_t clear;               /* PyErr_Clear */
    uint64_t take, drop;          /* Py_IncRef, Py_DecRef */
    uint64_t write_unraisable;    /* PyErr_WriteUnraisable */
    uint64_t append, set_slice;   /* PyList_Append, PyList_SetSlice */
    uint64_t is_tracked;          /* PyObject_GC_IsTracked */
    uint64_t slot;                /* PyType_GetSlot */
    uint64_t list_new, tuple_new; /* PyList_New, PyTuple_New */
    uint64_t dict_clear;          /* PyDict_Clear */
    uint64_t untrack;             /* PyObject_GC_UnTrack */
    uint64_t audit;               /* PySys_Audit */
    uint64_t interpreter;         /* PyInterpreterState_Get; 0 before CPython 3.9 */
    /* for what is made apart (stub_apart.h) */
    uint64_t float_new, list_size, list_item; /* PyFloat_FromDouble, PyList_Size, PyList_GetItem */
    uint64_t set_item;                        /* PyDict_SetItemString */
    uint64_t bytes_data, bytes_size;          /* PyBytes_AsString, PyBytes_Size */
    uint64_t compile, eval, builtins; /* Py_CompileString, PyEval_EvalCode, PyEval_GetBuiltins */
    uint64_t marshal, unmarshal; /* PyMarshal_WriteObjectToString, PyMarshal_ReadObjectFromString */
    uint64_t get_allocator, set_allocator; /* PyMem_ */
    uint64_t collector_off;                /* PyGC_Disable */
    uint64_t apart;                        /* 1: all of them are there, and nothing comes ahead */
    uint64_t generator, list, type, object, reference; /* PyGen_Type, ...; 0: not there */
    uint64_t add_watcher, watch; /* PyType_AddWatcher, PyType_Watch; 0 before CPython 3.12 */
    uint64_t none;               /* _Py_NoneStruct */
    uint64_t finalize;           /* Py_FinalizeEx: taken over */
    uint64_t text;               /* share/warm/python.py */
};

enum {
    STUB_PATCH_SIZE = 12, /* mov $address, %rax; jmp *%rax */
    STUB_FILLER_MAX = 24,
    STUB_ENTRY_SIZE = 22, /* mov $page, %rdi; mov $function, %rax; jmp *%rax */
    STUB_STREAM_DICTS = 9,
};

/* code: of the function, STUB_PATCH_SIZE + STUB_FILLER_MAX bytes, whoever's they are. size: the function's, which may be less: it
 * may do nothing but jump to another. What stands behind it must be nobody's. */
bool stub_patch_fits(const uint8_t *code, uint64_t size);

/* What the text leaves in its list "calls", where modules came ahead (share/warm/ahead.py). */
enum stub_call {
    CALL_THREADING, /* the module, when it has been imported; else None */
    CALL_WAIT,      /* its _shutdown() */
    CALL_AT_EXIT,   /* calls what is to be called at exit */
    CALL_TYPES,     /* a list, for types of what the program has hung on what came ahead */
    CALL_PREPARE,   /* to be called in the beginning */
    CALL_LEAVE_OUT, /* in the end */
    CALL_AHEAD,     /* a list: all that came ahead, which stays as long as the interpreter */
    CALL_BEFORE,    /* a list: what there was before, of which only the addresses are kept */
};

/* What came ahead, and what the program has hung on it (stub_hung.h): a table of addresses, 0 where there is none, and what is
 * still to be looked at. */
struct stub_hung {
    uint64_t objects, count; /* that came ahead: PyObject *[] */
    uint64_t table, mask;
    uint64_t found, found_count;
    uint64_t visit; /* the function */
};

/* Behind the stub's code. */
struct stub_page {
    struct user_regs_struct
        registers;                /* where the interpreter stopped: at the entry of a system call */
    uint64_t clone3_args_address; /* of the interpreter's own filter; 0: none */
    uint64_t tid_address, robust_list, robust_size;
    uint32_t uid, gid;     /* of programs */
    uint32_t capabilities; /* that the interpreter keeps until a run begins */
    char work_dir[INIT_PATH_MAX];
    struct sock_filter filter[STUB_FILTER_MAX]; /* on top of its own one: of a run's process */
    uint32_t filter_count;
    struct stub_python python;
    uint64_t finish, gettrace, getprofile; /* objects of the text */
    uint64_t unfreeze;                     /* too; 0: none */
    uint64_t calls;                        /* too, a list: enum stub_call; 0: nothing came ahead */
    struct stub_hung hung;
    uint64_t looked;           /* arguments for finish, when we have looked at all objects */
    uint64_t ends;             /* bytes (stub_end.h); 0: finish has to look itself */
    uint64_t last_middle_aged; /* object (stub_end.h); 0: not known */
    uint64_t stream_versions[STUB_STREAM_DICTS];
    uint64_t held; /* a list: of objects that those of the text refer to; 0: it was run in place */
    uint64_t end_name; /* "__del__", and how many references to it there are; 0: not known */
    uint64_t end_names;
    uint64_t on_type_change;   /* the function (stub_types.h) */
    uint64_t type_has_changed; /* one that was there before the program; 0: none that we know */
    uint64_t outside;          /* a dictionary: what it holds that is not its own */
    uint64_t collector;        /* its state (stub_collector.h); 0: not known */
    uint8_t patched[STUB_PATCH_SIZE]; /* what stood in finalize */
};

enum stub_fork_flags {
    STUB_INTO_CGROUP = 1 << 0, /* the second descriptor is the group */
    STUB_NEW_CGROUP_NS = 1 << 1,
};

/* To the interpreter, with the socket for the child: which answers itself. struct stub_forked comes when it could not be
 * forked, and once at the start. */
struct stub_fork {
    uint32_t magic;
    uint32_t flags;
};

struct stub_forked {
    uint32_t magic;
    int32_t pid; /* -errno */
};

/* To the child, with the descriptors. From it: struct stub_started, first with step STEP_NONE and its pid when it waits. */
struct stub_request {
    uint32_t magic;
    uint32_t flags; /* RUN_CPU_SET */
    uint32_t descriptor_count, fd_count;
    uint32_t rlimit_mask;
    struct init_rlimit_value rlimits[INIT_RLIMIT_COUNT];
    uint64_t cpu_mask[INIT_CPU_MASK_WORDS];
    uint16_t
        places[INIT_DESCRIPTORS_MAX]; /* of each descriptor among those that came; STUB_CLOSED */
};

struct stub_started {
    uint32_t magic;
    int32_t step; /* enum init_step */
    int32_t error;
    uint32_t detail;
    int32_t pid;
};

/* The code, position-independent, and where it begins. Absent where it is not written: both NULL. */
struct stub_code {
    const char *begin;
    uint64_t size, entry;
    uint64_t finalize;     /* what takes Py_FinalizeEx over */
    uint64_t visit;        /* CPython's visitproc (stub_hung.h) */
    uint64_t type_changed; /* stub_types.h */
};
struct stub_code stub_code(void);

#endif
