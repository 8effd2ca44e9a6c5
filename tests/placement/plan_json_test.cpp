#include "placement/plan_json.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace placement {
namespace {

constexpr const char* kFile = R"({
  "hosts": [
    { "name": "a", "memory": 1000, "cpu": 4, "link": 1e6, "idle_watts": 50, "busy_watts": 90 },
    { "name": "b", "memory": 1000, "cpu": 2 }
  ],
  "vms": [
    { "name": "v", "host": "b", "memory": 500, "used": 100, "cpu": [1, 2.5], "cpu_size": 2,
      "dirty_pages_per_s": 7, "kept_at": ["a"], "api_socket": "/run/v" }
  ],
  "receivers": [ { "host": "a", "listen": "tcp:a:1", "api_socket": "/run/r" } ]
})";

std::string error_of(const std::string& text) {
  try {
    static_cast<void>(fleet_from_json(text));
  } catch (const InputError& error) {
    return error.what();
  }
  return "none";
}

std::string with_vm(const std::string& vm) {
  return fmt::format(R"({{"hosts": [{{"name": "a", "memory": 9, "cpu": 1}}], "vms": [{}]}})", vm);
}

TEST(PlanFile, IsRead) {
  const Fleet fleet = fleet_from_json(kFile);
  ASSERT_EQ(fleet.hosts.size(), 2U);
  EXPECT_EQ(fleet.hosts[0].watts, (std::vector<double>{50, 90}));
  EXPECT_EQ(fleet.hosts[0].link, 1e6);
  EXPECT_EQ(fleet.hosts[1].link, 125e6);
  EXPECT_TRUE(fleet.hosts[1].watts.empty());
  ASSERT_EQ(fleet.vms.size(), 1U);
  const Vm& vm = fleet.vms[0];
  EXPECT_EQ(vm.host, 1U);
  EXPECT_EQ(vm.used, 100U);
  EXPECT_EQ(vm.cpu, (std::vector<double>{1, 2.5}));
  EXPECT_EQ(vm.kept_at, std::vector<HostIndex>{0});
  EXPECT_EQ(vm.api_socket, "/run/v");
  ASSERT_EQ(fleet.receivers.size(), 1U);
  EXPECT_EQ(fleet.receivers[0].listen, "tcp:a:1");
}

TEST(PlanFile, IsRefusedByTheNameOfTheField) {
  EXPECT_EQ(error_of("{"), "it is no JSON");
  EXPECT_EQ(error_of("[]"), "the file is no object");
  EXPECT_EQ(error_of("{}"), "the file.hosts has no host");
  EXPECT_EQ(error_of(R"({"hosts": 1})"), "the file.hosts is no array");
  EXPECT_EQ(error_of(R"({"hosts": [1]})"), "hosts[0] is no object");
  EXPECT_EQ(error_of(R"({"hosts": [{"name": "a"}]})"), "hosts[0].memory is missing");
  EXPECT_EQ(error_of(R"({"hosts": [{"name": "a", "memory": 1, "cpu": 0}]})"),
            "hosts[0].cpu is not from 1e-06 to 9e+15");
  EXPECT_EQ(error_of(R"({"hosts": [{"name": "a", "memory": 1, "cpu": 1, "idle_watts": 2}]})"),
            "hosts[0].busy_watts is missing, though the other one is there");
  EXPECT_EQ(error_of(with_vm(R"({"name": "v", "host": "x", "memory": 1})")),
            "vms[0].host names 'x', which is no host");
  EXPECT_EQ(error_of(with_vm(R"({"name": "v", "host": "a", "memory": -1})")),
            "vms[0].memory is not from 1 to 8796093022208");
  EXPECT_EQ(error_of(with_vm(R"({"name": "v", "host": "a", "memory": 1, "used": 2})")),
            "vms[0].used is more than its memory");
  EXPECT_EQ(error_of(with_vm(R"({"name": "v", "host": "a", "memory": 1, "cpu": ["x"]})")),
            "vms[0].cpu is no number");
  EXPECT_EQ(error_of(with_vm(R"({"name": "v\u001b", "host": "a", "memory": 1})")),
            "vms[0].name has control characters");
  EXPECT_EQ(error_of(with_vm(R"({"name": "v", "host": "a", "memory": 1},
                                {"name": "v", "host": "a", "memory": 1})")),
            "vms[1].name is that of another VM too");
}

TEST(PlanFile, IsRefusedWhereAFieldIsNotKnown) {
  EXPECT_EQ(error_of(R"({"hosts": [{"name": "a", "memory": 1, "cpu": 1}], "vm": []})"),
            "the file.vm is none of hosts, vms, receivers");
  EXPECT_EQ(error_of(R"({"hosts": [{"name": "a", "memory": 1, "cpu": 1, "links": 5}]})"),
            "hosts[0].links is none of name, memory, cpu, core, link, idle_watts, busy_watts");
  EXPECT_NE(error_of(with_vm(R"({"name": "v", "host": "a", "memory": 1, "dirty_pages": 5})"))
                .find("vms[0].dirty_pages is none of name, host"),
            std::string::npos);
  EXPECT_EQ(error_of(R"({"hosts": [{"name": "a", "memory": 1, "cpu": 1}],
                         "receivers": [{"host": "a", "listen": "x", "socket": "y"}]})"),
            "receivers[0].socket is none of host, listen, api_socket");
  // Bytes of a name, more are no help.
  EXPECT_LT(error_of(R"({")" + std::string(100'000, 'x') + R"(": 1})").size(), 1000U);
}

TEST(PlanFile, SaysWhichVmsStay) {
  const Fleet fleet =
      fleet_from_json(with_vm(R"({"name": "v", "host": "a", "memory": 1, "pinned": true},
                 {"name": "w", "host": "a", "memory": 1, "pinned": false},
                 {"name": "x", "host": "a", "memory": 1})"));
  EXPECT_TRUE(fleet.vms[0].pinned);
  EXPECT_FALSE(fleet.vms[1].pinned);
  EXPECT_FALSE(fleet.vms[2].pinned);
  EXPECT_EQ(error_of(with_vm(R"({"name": "v", "host": "a", "memory": 1, "pinned": 1})")),
            "vms[0].pinned is neither true nor false");
}

TEST(PlanFile, HasHistoriesOfAnyLengthOfWhichTheLastSamplesAreKept) {
  std::string samples;
  for (int i = 0; i < 20'000; ++i) samples += fmt::format("{}, ", i % 100);
  const auto vm = [](const std::string& cpu) {
    return with_vm(R"({"name": "v", "host": "a", "memory": 1, "cpu": [)" + cpu + "]}");
  };
  std::vector<double> last(12, 7);
  last.back() = 9;
  EXPECT_EQ(fleet_from_json(vm(samples + "7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 9")).vms.at(0).cpu,
            last);
  EXPECT_EQ(error_of(vm("\"x\", " + samples + "1")), "vms[0].cpu is no number");
}

class QuantityOfAFile : public testing::TestWithParam<const char*> {};

TEST_P(QuantityOfAFile, IsRefusedOutOfItsBounds) {
  const std::string value = GetParam();
  const auto host = [](const std::string& fields) {
    return error_of(R"({"hosts": [{"name": "a", )" + fields + "}]}");
  };
  EXPECT_NE(host(R"("cpu": 1, "memory": )" + value).find("hosts[0].memory is n"),
            std::string::npos);
  EXPECT_NE(host(R"("memory": 1, "cpu": )" + value).find("hosts[0].cpu is n"), std::string::npos);
  EXPECT_NE(host(R"("memory": 1, "cpu": 1, "core": )" + value).find("hosts[0].core is n"),
            std::string::npos);
  EXPECT_NE(host(R"("memory": 1, "cpu": 1, "link": )" + value).find("hosts[0].link is n"),
            std::string::npos);
  const auto vm = [](const std::string& fields) {
    return error_of(with_vm(R"({"name": "v", "host": "a", )" + fields + "}"));
  };
  EXPECT_NE(vm(R"("memory": )" + value).find("vms[0].memory is n"), std::string::npos);
  EXPECT_NE(vm(R"("memory": 1, "cpu_size": )" + value).find("vms[0].cpu_size is n"),
            std::string::npos);
}

INSTANTIATE_TEST_SUITE_P(Any, QuantityOfAFile,
                         testing::Values("0", "-1", "-0.0", "1e-300", "1e300", "-1e300", "true",
                                         "\"NaN\"", "18446744073709551616", "1e16"));

TEST(PlanFile, HasMemoryByWholeBytes) {
  EXPECT_EQ(error_of(with_vm(R"({"name": "v", "host": "a", "memory": 0.5})")),
            "vms[0].memory is not from 1 to 8796093022208");
  EXPECT_EQ(error_of(with_vm(R"({"name": "v", "host": "a", "memory": 8796093022209})")),
            "vms[0].memory is not from 1 to 8796093022208");
  EXPECT_EQ(fleet_from_json(with_vm(R"({"name": "v", "host": "a", "memory": 8796093022208})"))
                .vms[0]
                .memory,
            1ULL << 43);
}

TEST(PlanFile, HasSumsOfMemoryThatAreRight) {
  std::string vms;
  for (int i = 0; i < 64; ++i) {
    vms += fmt::format(R"({}{{"name": "{}", "host": "a", "memory": 8796093022208}})",
                       i == 0 ? "" : ",", i);
  }
  const Fleet fleet = fleet_from_json(with_vm(vms));
  EXPECT_EQ(make_plan(fleet, std::vector<HostIndex>(64, 0)).before.memory, 1ULL << 49);
}

TEST(PlanFile, TellsMoves) {
  const Fleet fleet = fleet_from_json(kFile);
  const nlohmann::json plan = plan_to_json(fleet, make_plan(fleet, std::vector<HostIndex>{0}));
  const nlohmann::json& move = plan.at("moves").at(0);
  EXPECT_EQ(move.at("vm"), "v");
  EXPECT_EQ(move.at("from"), "b");
  EXPECT_EQ(move.at("to"), "a");
  EXPECT_EQ(move.at("mode"), "pre-copy");
  EXPECT_EQ(move.at("step"), 1);
  EXPECT_EQ(plan.at("after").at("hosts_on"), 1);
}

}  // namespace
}  // namespace placement
