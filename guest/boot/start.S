// From the PVH entry to C++ at CPL 3 in some forty instructions: a software KVM emulates CPL 0 at
// about half a microsecond each, so every table is built by the assembler (tables.S) and
// everything else is left to CPL 3.
#include "guest/boot/layout.h"

#define CR0_PE_MP_ET_NE_WP_PG 0x80010033
#define CR4_PAE_OSFXSR_OSXMMEXCPT 0x620
#define MSR_EFER 0xc0000080
#define EFER_LME 0x100
#define RFLAGS_IF_IOPL3 0x3202

// The PVH boot protocol: Xen's note type 18 holds the 32-bit entry point.
        .section .note.Xen, "a", @note
        .balign 4
        .long 4, 8, 18
        .asciz "Xen"
        .quad pvh_start

        .section .boot, "ax"
        .code32
        .globl pvh_start, start32
// EBX: physical address of the start info; flat 32-bit segments, no paging.
pvh_start:
        cld
        // Both interrupt controllers of the PC's past deliver at vectors that mean something else,
        // and a firmware has left its timer running: not one interrupt of theirs may get through.
        movb $0xff, %al
        outb %al, $0x21
        outb %al, $0xa1
// Secondary CPUs join here from the trampoline with EBX = 0.
start32:
        movl $1, %eax
        lock xaddl %eax, cpus_started
        cmpl $GUEST_MAX_CPUS, %eax
        jae park
        movl %eax, %edi

        movl $CR4_PAE_OSFXSR_OSXMMEXCPT, %eax
        movl %eax, %cr4
        movl $page_map, %eax
        movl %eax, %cr3
        movl $MSR_EFER, %ecx
        xorl %edx, %edx
        movl $EFER_LME, %eax
        wrmsr
        movl $CR0_PE_MP_ET_NE_WP_PG, %eax
        movl %eax, %cr0
        lgdt gdt_pointer
        ljmp $GUEST_KERNEL_CS, $start64

park:   cli
        hlt
        jmp park

        .code64
start64:
        xorl %eax, %eax
        movl %eax, %fs
        movl %eax, %gs
        movl $GUEST_USER_DS, %eax
        movl %eax, %ds
        movl %eax, %es
        movl $GUEST_KERNEL_DS, %eax
        movl %eax, %ss
        lidt idt_pointer

        movl %edi, %eax
        shll $4, %eax
        addl $GUEST_TSS, %eax
        ltr %ax

        movl %edi, %eax
        shll $12, %eax
        leaq cpu_pages + GUEST_CPU_PAGE(%rax), %rsp
        movl %edi, %eax
        shll $13, %eax
        leaq user_stacks + GUEST_USER_STACK_SIZE - 8(%rax), %rax
        pushq $GUEST_USER_DS
        pushq %rax
        pushq $RFLAGS_IF_IOPL3
        pushq $GUEST_USER_CS
        pushq $cpu_main
        movl %ebx, %esi
        xorl %ebp, %ebp
        iretq

        .bss
        .globl cpus_started, cpu_pages, user_stacks
        .balign 4096
cpu_pages:
        .skip GUEST_CPU_PAGE * GUEST_MAX_CPUS
user_stacks:
        .skip GUEST_USER_STACK_SIZE * GUEST_MAX_CPUS
cpus_started:
        .skip 4
