// Everything that runs at CPL 0 after the start: interrupts are counted, services answered, faults
// handed to C++ at CPL 3. As few instructions as can be, and general registers only.
#include "guest/boot/layout.h"

#define LAPIC_EOI (GUEST_LAPIC + 0xb0)
#define HLT_OPCODE 0xf4
#define MSR_TSC_DEADLINE 0x6e0

        .section .vectors, "ax"
        .globl vector_stubs

// Exceptions that push an error code: 8, 10-14, 17, 21, 29, 30.
#define PUSHES_ERROR_CODE 0x60227d00

        .set vector, 0
vector_stubs:
        .rept GUEST_VECTORS
        .balign GUEST_VECTOR_STUB_SIZE
        .if vector == GUEST_VECTOR_GENERAL_PROTECTION
        jmp general_protection
        .elseif vector == GUEST_VECTOR_TIMER
        jmp timer_interrupt
        .elseif vector == GUEST_VECTOR_SERIAL
        jmp serial_interrupt
        .elseif vector == GUEST_VECTOR_DEVICE
        jmp device_interrupt
        .elseif vector == GUEST_VECTOR_SPURIOUS
        iretq
        .else
        .if ((PUSHES_ERROR_CODE >> vector) & 1) == 0
        pushq $0
        .endif
        pushq $vector
        jmp fault
        .endif
        .set vector, vector + 1
        .endr
        .balign GUEST_VECTOR_STUB_SIZE

        .macro count_interrupt counter
        pushq %rax
        movq %rsp, %rax
        andq $-GUEST_CPU_PAGE, %rax
        incq \counter(%rax)
        incq GUEST_CPU_WAKES(%rax)
        movl $LAPIC_EOI, %eax
        movl $0, (%rax)
        popq %rax
        iretq
        .endm

timer_interrupt:
        count_interrupt GUEST_CPU_TIMER_COUNT
serial_interrupt:
        count_interrupt GUEST_CPU_SERIAL_COUNT
device_interrupt:
        count_interrupt GUEST_CPU_DEVICE_COUNT

// HLT at CPL 3 is how it calls CPL 0, since neither SYSCALL nor INT can be relied on: service in
// RAX, arguments in RDI and RSI, result in RAX; RCX, RDX, RBX may change.
general_protection:
        movq 8(%rsp), %rcx
        cmpb $HLT_OPCODE, (%rcx)
        jne bad_protection
        incq 8(%rsp)
        addq $8, %rsp
        jmp *services(, %rax, 8)

bad_protection:
        pushq $GUEST_VECTOR_GENERAL_PROTECTION
fault:
        popq %rdi
        popq %rsi
        movq (%rsp), %rdx
        movq %cr2, %rcx
        movq %rsp, %rax
        andq $-GUEST_CPU_PAGE, %rax
        movq GUEST_CPU_USER_STACK(%rax), %rax
        movq $report_fault, (%rsp)
        movq $GUEST_USER_CS, 8(%rsp)
        movq %rax, 24(%rsp)
        movq $GUEST_USER_DS, 32(%rsp)
        iretq

// RDI: the number of wake-ups that the caller has seen. One that came since then must not be slept
// through, and none can come between the comparison and the HLT: STI takes effect after it.
// RSI: TSC deadline to arm the timer with first, or 0.
service_sleep:
        testq %rsi, %rsi
        jz 1f
        movl $MSR_TSC_DEADLINE, %ecx
        movl %esi, %eax
        movq %rsi, %rdx
        shrq $32, %rdx
        wrmsr
1:      movq %rsp, %rcx
        andq $-GUEST_CPU_PAGE, %rcx
        cmpq %rdi, GUEST_CPU_WAKES(%rcx)
        jne 2f
        sti
        hlt
        cli
2:      iretq

service_halt:
        cli
        hlt
        jmp service_halt

service_rdmsr:
        movl %edi, %ecx
        rdmsr
        shlq $32, %rdx
        orq %rdx, %rax
        iretq
service_wrmsr:
        movl %edi, %ecx
        movl %esi, %eax
        movq %rsi, %rdx
        shrq $32, %rdx
        wrmsr
        iretq
service_cpuid:
        movl %edi, %eax
        movl %esi, %ecx
        cpuid
        iretq
service_xgetbv:
        xorl %ecx, %ecx
        xgetbv
        iretq
service_xsetbv:
        movl %edi, %eax
        xorl %edx, %edx
        xorl %ecx, %ecx
        xsetbv
        iretq

service_in32:
        movl %edi, %edx
        inl %dx, %eax
        iretq
service_out32:
        movl %edi, %edx
        movl %esi, %eax
        outl %eax, %dx
        iretq

        .macro read_service register
service_read_\register:
        movq %\register, %rax
        iretq
        .endm
        .macro write_service register
service_write_\register:
        movq %rdi, %\register
        iretq
        .endm
        .irp register, cr0, cr2, cr3, cr4, cr8, dr0, dr1, dr2, dr3, dr7
        read_service \register
        .endr
        .irp register, cr2, cr4, cr8, dr0, dr1, dr2, dr3
        write_service \register
        .endr

        .section .rodata
        .balign 8
services:
        .quad service_sleep, service_rdmsr, service_wrmsr, service_cpuid
        .quad service_read_cr0, service_read_cr2, service_read_cr3, service_read_cr4
        .quad service_read_cr8, service_write_cr2, service_write_cr4, service_write_cr8
        .quad service_xgetbv, service_xsetbv
        .quad service_read_dr0, service_read_dr1, service_read_dr2, service_read_dr3
        .quad service_read_dr7
        .quad service_write_dr0, service_write_dr1, service_write_dr2, service_write_dr3
        .quad service_halt, service_in32, service_out32
services_end:
        .if (services_end - services) / 8 != GUEST_SERVICES
        .error "a service in boot/layout.h has no entry here, or the other way round"
        .endif
