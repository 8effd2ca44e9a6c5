// Where a secondary CPU wakes: copied to GUEST_TRAMPOLINE, below 1 MiB, before the start-up
// interrupt. Real mode with CS = GUEST_TRAMPOLINE >> 4.
#include "guest/boot/layout.h"

        .section .rodata
        .globl trampoline_begin, trampoline_end
        .code16
trampoline_begin:
        cli
        cld
        movw %cs, %ax
        movw %ax, %ds
        lgdtl gdt_pointer16 - trampoline_begin
        movl $0x11, %eax
        movl %eax, %cr0
        ljmpl $GUEST_KERNEL_CS32, $(GUEST_TRAMPOLINE + protected - trampoline_begin)
        .code32
protected:
        movw $GUEST_KERNEL_DS, %ax
        movw %ax, %ds
        xorl %ebx, %ebx
        movl $start32, %eax
        jmp *%eax
        .balign 4
gdt_pointer16:
        .word GUEST_TSS + 16 * GUEST_MAX_CPUS - 1
        .long gdt
trampoline_end:
