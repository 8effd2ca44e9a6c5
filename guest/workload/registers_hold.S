// registers_hold(want, got, components): loads every register from `want`, holds them live for some
// tens of microseconds and stores what they have become into `got`. `components` is the XSAVE
// mask; 0 stands for a processor with FXSAVE only. The stack pointer itself is `got` meanwhile:
// nothing is pushed there, since interrupts of CPL 3 bring their own stack.
#include "guest/boot/layout.h"

#define HOLD_PAUSES 800

        .text
        .globl registers_hold
registers_hold:
        pushq %rbx
        pushq %rbp
        pushq %r12
        pushq %r13
        pushq %r14
        pushq %r15
        pushq %rdx

        movl %edx, %eax
        xorl %edx, %edx
        testl %eax, %eax
        jz 1f
        xrstor64 GUEST_FILE_XSAVE(%rdi)
        jmp 2f
1:      fxrstor64 GUEST_FILE_XSAVE(%rdi)
2:
        movw GUEST_FILE_DS(%rdi), %ds
        movw GUEST_FILE_ES(%rdi), %es
        movq %rsp, GUEST_FILE_RSP(%rsi)
        pushq GUEST_FILE_RFLAGS(%rdi)
        popfq
        movq %rsi, %rsp
        movq 0(%rdi), %rax
        movq 8(%rdi), %rcx
        movq 16(%rdi), %rdx
        movq 24(%rdi), %rbx
        movq 40(%rdi), %rbp
        movq 48(%rdi), %rsi
        movq 64(%rdi), %r8
        movq 72(%rdi), %r9
        movq 80(%rdi), %r10
        movq 88(%rdi), %r11
        movq 96(%rdi), %r12
        movq 104(%rdi), %r13
        movq 112(%rdi), %r14
        movq 120(%rdi), %r15
        movq GUEST_FILE_RDI(%rdi), %rdi

// A straight line rather than a loop, so that the flags are held too.
        .rept HOLD_PAUSES
        pause
        .endr

        movq %rax, 0(%rsp)
        movq %rcx, 8(%rsp)
        movq %rdx, 16(%rsp)
        movq %rbx, 24(%rsp)
        movq %rbp, 40(%rsp)
        movq %rsi, 48(%rsp)
        movq %rdi, GUEST_FILE_RDI(%rsp)
        movq %r8, 64(%rsp)
        movq %r9, 72(%rsp)
        movq %r10, 80(%rsp)
        movq %r11, 88(%rsp)
        movq %r12, 96(%rsp)
        movq %r13, 104(%rsp)
        movq %r14, 112(%rsp)
        movq %r15, 120(%rsp)
        movq %rsp, %rsi
        movq GUEST_FILE_RSP(%rsi), %rsp
        pushfq
        popq GUEST_FILE_RFLAGS(%rsi)
        cld
        .macro store_selector segment, offset
        movl %\segment, %eax
        movq %rax, \offset(%rsi)
        .endm
        store_selector ds, GUEST_FILE_DS
        store_selector es, GUEST_FILE_ES
        store_selector fs, GUEST_FILE_FS
        store_selector gs, GUEST_FILE_GS
        movq %fs:0, %rax
        movq %rax, GUEST_FILE_FS_WORD(%rsi)
        movq %gs:0, %rax
        movq %rax, GUEST_FILE_GS_WORD(%rsi)

        popq %rax
        xorl %edx, %edx
        testl %eax, %eax
        jz 3f
        xsave64 GUEST_FILE_XSAVE(%rsi)
        jmp 4f
3:      fxsave64 GUEST_FILE_XSAVE(%rsi)
4:
        popq %r15
        popq %r14
        popq %r13
        popq %r12
        popq %rbp
        popq %rbx
        ret
