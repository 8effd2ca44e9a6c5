#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

/// ACPI machine language, as far as a table of devices needs it. Each function encodes one term or
/// object of the ACPI specification's chapter 20 ("AML Specification"), or one resource descriptor
/// of section 6.4; bytes are held in strings, which concatenate.
namespace vmm::aml {

[[nodiscard]] std::string integer(std::uint64_t value);
[[nodiscard]] std::string string(std::string_view text);
/// A hardware id: in EISA's compressed form (three letters, four digits) or as a string.
[[nodiscard]] std::string hardware_id(std::string_view id);

[[nodiscard]] std::string name(std::string_view name_segment, std::string_view object);
[[nodiscard]] std::string package(std::initializer_list<std::string> elements);
[[nodiscard]] std::string scope(std::string_view name_string, std::string_view terms);
[[nodiscard]] std::string device(std::string_view name_segment, std::string_view terms);

/// A buffer of resource descriptors, to which it adds the end tag.
[[nodiscard]] std::string resources(std::string_view descriptors);
[[nodiscard]] std::string io_ports(std::uint16_t first, std::uint8_t count);
/// Of a bridge: the buses behind it, and memory that it hands down.
[[nodiscard]] std::string bus_numbers(std::uint16_t first, std::uint16_t last);
[[nodiscard]] std::string memory_window(std::uint32_t base, std::uint32_t bytes);
/// Edge-triggered, active high, exclusive.
[[nodiscard]] std::string edge_interrupt(std::uint32_t gsi);

}  // namespace vmm::aml
