/* The static program cjudge-init, as bytes of this one. */
    .section .rodata
    .globl cjudge_init_start
    .globl cjudge_init_end
    .balign 16
cjudge_init_start:
    .incbin "cjudge-init"
cjudge_init_end:
    .byte 0
    .section .note.GNU-stack, "", @progbits
