// Numbers that assembly and C++ share.
#pragma once

#define GUEST_MAX_CPUS 16

// Selectors in the order Linux uses: CPL 3 loads them into hardware that a software KVM shares with
// its Linux host, where only these are certain to mean the same.
#define GUEST_KERNEL_CS32 0x08
#define GUEST_KERNEL_CS 0x10
#define GUEST_KERNEL_DS 0x18
#define GUEST_USER_DS 0x2b
#define GUEST_USER_CS 0x33
#define GUEST_TSS 0x40

#define GUEST_TRAMPOLINE 0x8000
// The assembler splits these two addresses into descriptors, so it must know them; guest.ld checks.
#define GUEST_TASK_STATES 0x104000
#define GUEST_VECTOR_STUBS 0x105600
#define GUEST_VECTOR_STUB_SIZE 16
#define GUEST_VECTORS 64

#define GUEST_VECTOR_GENERAL_PROTECTION 13
#define GUEST_VECTOR_TIMER 0x20
#define GUEST_VECTOR_SERIAL 0x21
#define GUEST_VECTOR_DEVICE 0x22
#define GUEST_VECTOR_SPURIOUS 0x3f

#define GUEST_LAPIC 0xfee00000
#define GUEST_IOAPIC 0xfec00000

// A CPU's page: what its interrupt handlers touch at the bottom, their stack from the top down, so
// that a handler finds the page by rounding its stack pointer.
#define GUEST_CPU_PAGE 4096
#define GUEST_CPU_WAKES 0
#define GUEST_CPU_TIMER_COUNT 8
#define GUEST_CPU_SERIAL_COUNT 16
#define GUEST_CPU_DEVICE_COUNT 24
#define GUEST_CPU_USER_STACK 32

#define GUEST_USER_STACK_SIZE 8192

// What CPL 3 asks of CPL 0, by number in RAX at a HLT.
#define GUEST_SERVICE_SLEEP 0
#define GUEST_SERVICE_RDMSR 1
#define GUEST_SERVICE_WRMSR 2
#define GUEST_SERVICE_CPUID 3
#define GUEST_SERVICE_READ_CR0 4
#define GUEST_SERVICE_READ_CR2 5
#define GUEST_SERVICE_READ_CR3 6
#define GUEST_SERVICE_READ_CR4 7
#define GUEST_SERVICE_READ_CR8 8
#define GUEST_SERVICE_WRITE_CR2 9
#define GUEST_SERVICE_WRITE_CR4 10
#define GUEST_SERVICE_WRITE_CR8 11
#define GUEST_SERVICE_XGETBV 12
#define GUEST_SERVICE_XSETBV 13
#define GUEST_SERVICE_READ_DR0 14
#define GUEST_SERVICE_READ_DR1 15
#define GUEST_SERVICE_READ_DR2 16
#define GUEST_SERVICE_READ_DR3 17
#define GUEST_SERVICE_READ_DR7 18
#define GUEST_SERVICE_WRITE_DR0 19
#define GUEST_SERVICE_WRITE_DR1 20
#define GUEST_SERVICE_WRITE_DR2 21
#define GUEST_SERVICE_WRITE_DR3 22
#define GUEST_SERVICE_HALT 23
#define GUEST_SERVICE_IN32 24
#define GUEST_SERVICE_OUT32 25
#define GUEST_SERVICES 26

// The registers as registers_hold.S loads and stores them: general registers by their encoding
// (that of RSP holds the caller's), flags, selectors, one word behind each of FS and GS, then the
// XSAVE area.
#define GUEST_FILE_RAX 0
#define GUEST_FILE_RSP 32
#define GUEST_FILE_RDI 56
#define GUEST_FILE_RFLAGS 128
#define GUEST_FILE_DS 136
#define GUEST_FILE_ES 144
#define GUEST_FILE_FS 152
#define GUEST_FILE_GS 160
#define GUEST_FILE_FS_WORD 168
#define GUEST_FILE_GS_WORD 176
#define GUEST_FILE_XSAVE 192
#define GUEST_FILE_SIZE 4096
