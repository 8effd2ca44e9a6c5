// Descriptor tables, task states and the first page tables, complete in the image. Accessed and
// dirty bits are set beforehand: setting them later would cost a fault each where the tables are
// shadowed.
#include "guest/boot/layout.h"

        .section .tables, "aw"

#define PAGE_TABLE 0x27        /* present, writable, user, accessed */
#define PAGE_2MIB 0xe7         /* the same, dirty, large */
#define PAGE_2MIB_DEVICE 0xff  /* the same, uncached */

// Identity map: the first GiB, and the interrupt controllers under 4 GiB. CPL 3 adds the RAM above
// when it knows the memory map.
        .globl page_map, page_directory_pointers
        .balign 4096
page_map:
        .quad page_directory_pointers + PAGE_TABLE
        .fill 511, 8, 0
page_directory_pointers:
        .quad page_directory_0 + PAGE_TABLE, 0, 0, page_directory_3 + PAGE_TABLE
        .fill 508, 8, 0
page_directory_0:
        .set frame, 0
        .rept 512
        .quad frame + PAGE_2MIB
        .set frame, frame + 0x200000
        .endr
page_directory_3:
        .fill 502, 8, 0
        .quad GUEST_IOAPIC + PAGE_2MIB_DEVICE, GUEST_LAPIC + PAGE_2MIB_DEVICE
        .fill 8, 8, 0

// A task state per CPU: where its interrupts find a stack, and every port below 0x400 open to CPL 3.
#define TSS_SIZE 256
#define TSS_IO_BITMAP 104
#define TSS_IO_BITMAP_SIZE (0x400 / 8)
#define TSS_LIMIT (TSS_IO_BITMAP + TSS_IO_BITMAP_SIZE)
        .globl task_states
        .balign 4096
task_states:
        .set cpu, 0
        .rept GUEST_MAX_CPUS
        .long 0
        .quad cpu_pages + (cpu + 1) * GUEST_CPU_PAGE
        .fill TSS_IO_BITMAP - 14, 1, 0
        .word TSS_IO_BITMAP
        .fill TSS_IO_BITMAP_SIZE, 1, 0
        .byte 0xff
        .balign TSS_SIZE
        .set cpu, cpu + 1
        .endr

        .globl gdt, gdt_pointer, idt_pointer
        .balign 4096
gdt:
        .quad 0
        .quad 0x00cf9b000000ffff  // kernel code, 32 bit
        .quad 0x00af9b000000ffff  // kernel code
        .quad 0x00cf93000000ffff  // kernel data
        .quad 0x00cffb000000ffff  // user code, 32 bit
        .quad 0x00cff3000000ffff  // user data
        .quad 0x00affb000000ffff  // user code
        .quad 0
        .set tss, GUEST_TASK_STATES
        .rept GUEST_MAX_CPUS
        .word TSS_LIMIT, tss & 0xffff
        .byte (tss >> 16) & 0xff, 0x89, 0, tss >> 24
        .quad 0
        .set tss, tss + TSS_SIZE
        .endr

        .balign 16
idt:
        .set stub, GUEST_VECTOR_STUBS
        .rept GUEST_VECTORS
        .word stub & 0xffff, GUEST_KERNEL_CS
        .byte 0, 0x8e             // interrupt gate: the handler runs with interrupts off
        .word stub >> 16
        .quad 0
        .set stub, stub + GUEST_VECTOR_STUB_SIZE
        .endr
idt_end:

        .balign 16
        .skip 6
gdt_pointer:
        .word GUEST_TSS + 16 * GUEST_MAX_CPUS - 1
        .quad gdt
        .skip 6
idt_pointer:
        .word idt_end - idt - 1
        .quad idt
