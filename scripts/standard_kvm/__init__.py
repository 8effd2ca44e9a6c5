"""A Linux system in QEMU that emulates a processor with AMD-V: scripts/on-standard-kvm."""
