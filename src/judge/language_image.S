/* share/languages.yaml, as bytes of the program: it works without any file beside it. */
    .section .rodata
    .globl cjudge_languages_start
    .globl cjudge_languages_end
cjudge_languages_start:
    .incbin "languages.yaml"
cjudge_languages_end:
    .byte 0
    .section .note.GNU-stack, "", @progbits
