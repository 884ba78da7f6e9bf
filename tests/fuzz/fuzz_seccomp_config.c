/* seccomp.yaml is the operator's, but its reader decides what programs may do. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "seccomp_rule.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct seccomp_filter filter = {0};
    struct cj_error err = {0};
    if (seccomp_config_parse("fuzz", (const char *)data, size, &filter, &err) < 0) {
        if (err.message[0] == '\0' || filter.code != NULL)
            abort(); /* a failure says why and leaves nothing */
        return 0;
    }
    if (filter.count == 0 || filter.count > BPF_MAXINSNS)
        abort();
    seccomp_filter_free(&filter);
    return 0;
}
