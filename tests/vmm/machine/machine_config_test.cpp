#include "vmm/machine/machine_config.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <regex>
#include <stdexcept>
#include <string>

#include "vmm/memory/guest_memory.hpp"

namespace vmm {
namespace {

using nlohmann::json;

MachineConfig example_config() {
  MachineConfig config;
  config.id = make_uuid();
  config.name = "lisbon";
  config.memory_bytes = 512 << 20;
  config.cpus = 2;
  config.tsc_khz = 2'300'000;
  kvm_cpuid_entry2 leaf{};
  leaf.function = 7;
  leaf.flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
  leaf.ebx = 0xdeadbeef;
  config.cpuid = {leaf, kvm_cpuid_entry2{}};
  config.devices = {{"serial0", 1}, {"acpi-pm", 3}};
  config.needs = {.arch_capabilities = std::uint64_t{1} << 62 | 0x4c,
                  .xsave_bytes = 4096,
                  .event_flags = 0x3f,
                  .msrs = {0x10, 0xc0000080, 0x6e0}};
  return config;
}

std::string refusal(const json& document) {
  try {
    static_cast<void>(machine_config_from_json(document.dump()));
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "";
}

TEST(MachineConfig, TravelsAsItIs) {
  const MachineConfig config = example_config();
  const MachineConfig back = machine_config_from_json(to_json(config));
  EXPECT_EQ(back.id, config.id);
  EXPECT_EQ(back.name, config.name);
  EXPECT_EQ(back.memory_bytes, config.memory_bytes);
  EXPECT_EQ(back.cpus, config.cpus);
  EXPECT_EQ(back.tsc_khz, config.tsc_khz);
  ASSERT_EQ(back.cpuid.size(), 2U);
  EXPECT_EQ(back.cpuid[0].function, 7U);
  EXPECT_EQ(back.cpuid[0].flags, KVM_CPUID_FLAG_SIGNIFCANT_INDEX);
  EXPECT_EQ(back.cpuid[0].ebx, 0xdeadbeefU);
  EXPECT_EQ(back.devices, config.devices);
  EXPECT_EQ(back.needs.arch_capabilities, config.needs.arch_capabilities);
  EXPECT_EQ(back.needs.xsave_bytes, config.needs.xsave_bytes);
  EXPECT_EQ(back.needs.event_flags, config.needs.event_flags);
  EXPECT_EQ(back.needs.msrs, config.needs.msrs);
}

TEST(MachineConfig, NamesTheFieldThatIsMissingOrOfAWrongType) {
  const json good = json::parse(to_json(example_config()));
  ASSERT_EQ(refusal(good), "");
  const auto expect_named = [&](const json::json_pointer& within) {
    for (const auto& [field, value] : good.at(within).items()) {
      json without = good;
      without.at(within).erase(field);
      EXPECT_NE(refusal(without).find('"' + field + '"'), std::string::npos) << field;
      for (const json& wrong : {json(nullptr), json(-1), json(1.5), json::array(), json(true)}) {
        if (field == "devices" && wrong.is_array()) continue;  // an empty list is sound
        json changed = good;
        changed.at(within)[field] = wrong;
        EXPECT_NE(refusal(changed).find('"' + field + '"'), std::string::npos) << changed;
      }
    }
  };
  expect_named(json::json_pointer(""));
  expect_named(json::json_pointer("/needs"));
}

TEST(MachineConfig, IsBounded) {
  const json good = json::parse(to_json(example_config()));
  const auto with = [&](const char* field, const json& value) {
    json changed = good;
    changed[field] = value;
    return refusal(changed);
  };
  EXPECT_NE(with("cpus", 0), "");
  EXPECT_NE(with("cpus", kMaxCpus + 1), "");
  EXPECT_EQ(with("cpus", kMaxCpus), "");
  EXPECT_NE(with("memory", 0), "");
  EXPECT_NE(with("memory", UINT64_MAX), "");
  EXPECT_NE(with("memory", kMaxMemory + 1_MiB), "");
  EXPECT_NE(with("name", std::string(1000, 'n')), "");
  EXPECT_NE(with("cpuid", json::array()), "");
  EXPECT_NE(with("cpuid", json::array({json::array({1, 2, 3})})), "");
  EXPECT_NE(with("cpuid", json::array({json::array({1, 2, 3, 4, 5, 6, std::uint64_t{1} << 32})})),
            "");
  EXPECT_NE(with("cpuid", json(std::vector<std::vector<int>>(10'000, std::vector<int>(7)))), "");
  const auto needing = [&](const char* field, const json& value) {
    json needs = good["needs"];
    needs[field] = value;
    return with("needs", needs);
  };
  EXPECT_EQ(needing("arch_capabilities", UINT64_MAX), "");
  EXPECT_NE(needing("xsave_bytes", 4095), "");
  EXPECT_EQ(needing("xsave_bytes", 65536), "");
  EXPECT_NE(needing("xsave_bytes", 65537), "");
  EXPECT_NE(needing("event_flags", std::uint64_t{1} << 32), "");
  EXPECT_NE(needing("msrs", json::array()), "");
  EXPECT_NE(needing("msrs", json::array({std::uint64_t{1} << 32})), "");
  EXPECT_NE(needing("msrs", json::array({"0x10"})), "");
  EXPECT_EQ(needing("msrs", json(std::vector<int>(kMaxMsrs, 16))), "");
  EXPECT_NE(needing("msrs", json(std::vector<int>(kMaxMsrs + 1, 16))), "");
}

TEST(MachineConfig, ListsDevicesWithinBounds) {
  const auto with = [good = json::parse(to_json(example_config()))](const json& devices) {
    json changed = good;
    changed["devices"] = devices;
    return refusal(changed);
  };
  const auto one = [](const json& id, const json& version) {
    return json::array({{{"id", id}, {"version", version}}});
  };
  EXPECT_EQ(with(json::array()), "");
  EXPECT_EQ(with(one(std::string(kMaxDeviceId, 'd'), UINT32_MAX)), "");
  EXPECT_NE(with(one(std::string(kMaxDeviceId + 1, 'd'), 1)), "");
  for (const char* id : {"", "Serial0", "a/b", "a b", "a\n", "caf\xc3\xa9", "a_b"}) {
    EXPECT_NE(with(one(id, 1)), "") << id;
  }
  EXPECT_NE(with(one(nullptr, 1)), "");
  for (const json& version :
       {json(0), json(-1), json(1.0), json("1"), json(nullptr), json(std::uint64_t{1} << 32)}) {
    EXPECT_NE(with(one("serial0", version)), "") << version;
  }
  const auto on_host = [](const json& part) {
    return json::array({{{"id", "disk0"}, {"version", 1}, {"host_part", part}}});
  };
  EXPECT_EQ(with(on_host(std::string(256, 'p'))), "");
  EXPECT_NE(with(on_host(std::string(257, 'p'))), "");
  EXPECT_NE(with(on_host(nullptr)), "");
  EXPECT_NE(with(json::array({"serial0"})), "");
  EXPECT_NE(with(json::array({{{"id", "serial0"}}})), "");
  json twice = one("serial0", 1);
  twice.push_back({{"id", "serial0"}, {"version", 2}});
  EXPECT_NE(with(twice), "");
  json many = json::array();
  for (std::size_t i = 0; i <= kMaxDevices; ++i) {
    many.push_back({{"id", "disk" + std::to_string(i)}, {"version", 1}});
  }
  EXPECT_NE(with(many), "");
  many.erase(0);
  EXPECT_EQ(with(many), "");
}

TEST(MachineConfig, TravelsWithAnyName) {
  MachineConfig config = example_config();
  for (const std::string& name :
       {std::string("a\tb\n.elf"), std::string("caf\xe9"), std::string("\xc2\x9b") + "31m",
        std::string(400, '\xff'), std::string("z") + std::string(400, '\xc3')}) {
    config.name = sound_name(name);
    EXPECT_LE(config.name.size(), kMaxName);
    EXPECT_EQ(machine_config_from_json(to_json(config)).name, config.name) << name;
  }
  EXPECT_EQ(sound_name("a\tb.elf"), "a?b.elf");
}

TEST(MachineConfig, IsTakenWithANameThatIsNotPrintable) {
  json document = json::parse(to_json(example_config()));
  document["name"] = "a\tb\xc2\x9b";
  EXPECT_EQ(machine_config_from_json(document.dump()).name, "a?b?");
  document["id"] = "a\tb";
  EXPECT_NE(refusal(document), "");
}

TEST(MachineConfig, IsRefusedWhenItIsNoJsonObject) {
  for (const char* text : {"", "{", "[]", "7", "null", "\"x\"", "{}"}) {
    EXPECT_THROW(static_cast<void>(machine_config_from_json(text)), std::invalid_argument) << text;
  }
}

TEST(MachineConfig, HasARandomId) {
  const std::regex version4("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}");
  const std::string id = make_uuid();
  EXPECT_TRUE(std::regex_match(id, version4)) << id;
  EXPECT_NE(id, make_uuid());
}

}  // namespace
}  // namespace vmm
