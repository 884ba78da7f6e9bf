/* share/openapi.json and share/docs.html, as bytes of the program: it works without any file beside it. */
    .section .rodata
    .globl cjudge_openapi_start
    .globl cjudge_openapi_end
    .globl cjudge_docs_start
    .globl cjudge_docs_end
cjudge_openapi_start:
    .incbin "openapi.json"
cjudge_openapi_end:
    .byte 0
cjudge_docs_start:
    .incbin "docs.html"
cjudge_docs_end:
    .byte 0
    .section .note.GNU-stack, "", @progbits
