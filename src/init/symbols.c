/* Where the functions of a CPython lie in a stopped process: in its program, or in its libpython. */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "init.h"
#include "stub.h"

enum { HEADERS_MAX = 64, DYNAMIC_MAX = 256, CHAIN_MAX = 100000 };

/* The dynamic symbols of one ELF file, as the loader has mapped it: elf(5); the table of hashes is GNU's. */
struct image {
    pid_t pid;
    uint64_t bias, symbols, strings, hashes;
};

static bool peek(pid_t pid, uint64_t address, void *out, size_t size)
{
    struct iovec here = {out, size}, there = {(void *)(uintptr_t)address, size};
    return process_vm_readv(pid, &here, 1, &there, 1, 0) == (ssize_t)size;
}

/* The GNU C library has made addresses of what the file has as offsets; others leave them. */
static uint64_t placed(uint64_t bias, uint64_t value)
{
    return value < bias ? value + bias : value;
}

static bool open_image(pid_t pid, uint64_t base, struct image *out)
{
    Elf64_Ehdr header;
    Elf64_Phdr parts[HEADERS_MAX];
    uint64_t dynamic = 0, first = UINT64_MAX;
    if (!peek(pid, base, &header, sizeof(header)) || memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 ||
        header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_phnum > HEADERS_MAX ||
        !peek(pid, base + header.e_phoff, parts, header.e_phnum * sizeof(parts[0])))
        return false;
    for (unsigned i = 0; i < header.e_phnum; i++) {
        if (parts[i].p_type == PT_LOAD && parts[i].p_vaddr < first)
            first = parts[i].p_vaddr & ~UINT64_C(4095);
        if (parts[i].p_type == PT_DYNAMIC)
            dynamic = parts[i].p_vaddr;
    }
    *out = (struct image){.pid = pid, .bias = base - first};
    for (unsigned i = 0; dynamic != 0 && i < DYNAMIC_MAX; i++) {
        Elf64_Dyn entry;
        if (!peek(pid, out->bias + dynamic + i * sizeof(entry), &entry, sizeof(entry)) ||
            entry.d_tag == DT_NULL)
            break;
        uint64_t place = placed(out->bias, entry.d_un.d_ptr);
        if (entry.d_tag == DT_SYMTAB)
            out->symbols = place;
        else if (entry.d_tag == DT_STRTAB)
            out->strings = place;
        else if (entry.d_tag == DT_GNU_HASH)
            out->hashes = place;
    }
    return out->symbols != 0 && out->strings != 0 && out->hashes != 0;
}

static uint32_t hash_of(const char *name)
{
    uint32_t hash = 5381;
    for (; *name != '\0'; name++)
        hash = hash * 33 + (unsigned char)*name;
    return hash;
}

static bool is_called(const struct image *image, const Elf64_Sym *symbol, const char *name)
{
    char seen[64];
    size_t size = strlen(name) + 1;
    return size <= sizeof(seen) && symbol->st_shndx != SHN_UNDEF &&
           peek(image->pid, image->strings + symbol->st_name, seen, size) &&
           memcmp(seen, name, size) == 0;
}

static bool find_symbol(const struct image *image, const char *name, Elf64_Sym *out)
{
    struct {
        uint32_t buckets, first, bloom_words, shift;
    } table;
    uint32_t index, hash = hash_of(name), seen;
    if (!peek(image->pid, image->hashes, &table, sizeof(table)) || table.buckets == 0)
        return false;
    uint64_t buckets = image->hashes + sizeof(table) + table.bloom_words * UINT64_C(8);
    uint64_t chains = buckets + table.buckets * UINT64_C(4);
    if (!peek(image->pid, buckets + hash % table.buckets * UINT64_C(4), &index, sizeof(index)) ||
        index < table.first)
        return false;
    for (unsigned i = 0; i < CHAIN_MAX; i++, index++) {
        if (!peek(image->pid, chains + (index - table.first) * UINT64_C(4), &seen, sizeof(seen)))
            return false;
        if ((seen | 1) == (hash | 1) &&
            peek(image->pid, image->symbols + index * sizeof(*out), out, sizeof(*out)) &&
            is_called(image, out, name))
            return true;
        if ((seen & 1) != 0)
            return false;
    }
    return false;
}

/* 0: it has none of that name. */
static uint64_t address_of(const struct image *image, const char *name)
{
    Elf64_Sym symbol;
    return find_symbol(image, name, &symbol) ? image->bias + symbol.st_value : 0;
}

/* Whether other first bytes can be written into it without touching what stands behind it. */
static bool can_be_patched(const struct image *image, const char *name)
{
    Elf64_Sym symbol;
    uint8_t code[STUB_PATCH_SIZE + STUB_FILLER_MAX];
    return find_symbol(image, name, &symbol) &&
           peek(image->pid, image->bias + symbol.st_value, code, sizeof(code)) &&
           stub_patch_fits(code, symbol.st_size);
}

struct wanted {
    const char *name;
    uint64_t *to;
};

static bool find_each(const struct image *image, const struct wanted *wanted, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if ((*wanted[i].to = address_of(image, wanted[i].name)) == 0)
            return false;
    return true;
}

static bool find_all(const struct image *image, struct stub_python *out)
{
    const struct wanted wanted[] = {
        {"Py_IsInitialized", &out->is_initialized},
        {"PyGILState_Ensure", &out->ensure},
        {"PyGILState_Release", &out->release},
        {"PyDict_New", &out->dict_new},
        {"PyDict_GetItemString", &out->get_item},
        {"PyRun_StringFlags", &out->run},
        {"PyObject_CallObject", &out->call},
        {"PyLong_AsLong", &out->as_long},
        {"PyErr_Clear", &out->clear},
        {"Py_IncRef", &out->take},
        {"Py_DecRef", &out->drop},
        {"PyList_New", &out->list_new},
        {"PyTuple_New", &out->tuple_new},
        {"PyDict_Clear", &out->dict_clear},
        {"PyObject_GC_UnTrack", &out->untrack},
        {"PySys_Audit", &out->audit},
        {"_Py_NoneStruct", &out->none},
        {"PyErr_WriteUnraisable", &out->write_unraisable},
        {"PyList_Append", &out->append},
        {"PyList_SetSlice", &out->set_slice},
        {"PyObject_GC_IsTracked", &out->is_tracked},
        {"PyType_GetSlot", &out->slot},
        {"Py_FinalizeEx", &out->finalize},
    };
    if (address_of(image, "Py_RunMain") == 0 || /* before CPython 3.8 */
        !can_be_patched(image, "Py_FinalizeEx"))
        return false;
    if (!find_each(image, wanted, sizeof(wanted) / sizeof(wanted[0])))
        return false;
    out->interpreter = address_of(image, "PyInterpreterState_Get");
    out->generator = address_of(image, "PyGen_Type");
    out->list = address_of(image, "PyList_Type");
    out->type = address_of(image, "PyType_Type");
    out->object = address_of(image, "PyBaseObject_Type");
    out->reference = address_of(image, "_PyWeakref_RefType");
    out->add_watcher = address_of(image, "PyType_AddWatcher");
    out->watch = address_of(image, "PyType_Watch");
    return true;
}

/* Not before CPython 3.10. */
static bool find_for_apart(const struct image *image, struct stub_python *out)
{
    const struct wanted wanted[] = {
        {"PyFloat_FromDouble", &out->float_new},
        {"PyList_Size", &out->list_size},
        {"PyList_GetItem", &out->list_item},
        {"PyDict_SetItemString", &out->set_item},
        {"PyBytes_AsString", &out->bytes_data},
        {"PyBytes_Size", &out->bytes_size},
        {"Py_CompileString", &out->compile},
        {"PyEval_EvalCode", &out->eval},
        {"PyEval_GetBuiltins", &out->builtins},
        {"PyMarshal_WriteObjectToString", &out->marshal},
        {"PyMarshal_ReadObjectFromString", &out->unmarshal},
        {"PyMem_GetAllocator", &out->get_allocator},
        {"PyMem_SetAllocator", &out->set_allocator},
        {"PyGC_Disable", &out->collector_off},
    };
    return find_each(image, wanted, sizeof(wanted) / sizeof(wanted[0]));
}

/* Each file is mapped in pieces, from its beginning on: proc_pid_maps(5). */
bool symbols_find_python(pid_t pid, struct stub_python *out)
{
    char line[INIT_PATH_MAX + 128];
    snprintf(line, sizeof(line), "%d/maps", pid);
    int fd = openat(self.proc_fd, line, O_RDONLY | O_CLOEXEC);
    FILE *maps = fd >= 0 ? fdopen(fd, "r") : NULL;
    bool found = false;
    while (!found && maps != NULL && fgets(line, sizeof(line), maps) != NULL) {
        unsigned long base, offset;
        char path[16];
        struct image image;
        found = sscanf(line, "%lx-%*x %*s %lx %*s %*s %15s", &base, &offset, path) == 3 &&
                offset == 0 && path[0] == '/' && open_image(pid, base, &image) &&
                find_all(&image, out);
        if (found)
            out->apart = find_for_apart(&image, out);
    }
    if (maps != NULL)
        fclose(maps);
    if (!found)
        memset(out, 0, sizeof(*out));
    return found;
}
