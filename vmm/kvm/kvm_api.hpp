#pragma once

// <linux/kvm.h>, with structures of the size that the kernel takes. In C++ an empty struct has a
// byte, so the uapi macro for trailing arrays (of kernels before 6.6) makes every structure that
// has one too large, and with it the ioctl's number. Include this instead of <linux/kvm.h>.
#include <linux/stddef.h>
#undef __DECLARE_FLEX_ARRAY
#define __DECLARE_FLEX_ARRAY(TYPE, NAME) TYPE NAME[]
#include <linux/kvm.h>

static_assert(sizeof(kvm_cpuid2) == 8);
static_assert(sizeof(kvm_msrs) == 8);
static_assert(sizeof(kvm_msr_list) == 4);
static_assert(sizeof(kvm_xsave) == 4096);

// What travels as it is: docs/protocol.md names these sizes, so that no host has others.
static_assert(sizeof(kvm_mp_state) == 4);
static_assert(sizeof(kvm_regs) == 144);
static_assert(sizeof(kvm_sregs2) == 320);
static_assert(sizeof(kvm_xcrs) == 392);
static_assert(sizeof(kvm_debugregs) == 128);
static_assert(sizeof(kvm_lapic_state) == 1024);
static_assert(sizeof(kvm_msr_entry) == 16);
static_assert(sizeof(kvm_vcpu_events) == 64);
static_assert(sizeof(kvm_irqchip) == 520);
static_assert(sizeof(kvm_pit_state2) == 112);
static_assert(sizeof(kvm_clock_data) == 48);
