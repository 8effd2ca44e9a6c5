#include "ferry/command_line.hpp"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <sstream>
#include <string_view>
#include <vector>

#include "ferry/client_output.hpp"
#include "ferry/help.hpp"
#include "ferry/options.hpp"

namespace ferry {

namespace {

constexpr const char* kAbout =
    "Ferry runs virtual machines on Linux KVM and moves them, running, to other\n"
    "hosts.\n"
    "\n"
    "  ferry run --kernel guest.elf --api-socket a.sock      # a VM, its console here\n"
    "  ferry receive --listen tcp:0.0.0.0:7000               # on the other host\n"
    "  ferry migrate --api-socket a.sock --to tcp:HOST:7000  # move it there\n"
    "\n"
    "ADDR is tcp:HOST:PORT or unix:PATH. 'ferry COMMAND --help' explains a command;\n"
    "the manual is ferry(1).";

}  // namespace

bool wants_json(int argc, const char* const* argv) {
  const std::vector<std::string_view> words(argv, argv + argc);
  const bool has_vm = argc > 1 && (words[1] == "run" || words[1] == "receive");
  return !has_vm && std::ranges::find(words, "--json") != words.end();
}

std::optional<Command> parse_command_line(int argc, const char* const* argv) {
  CLI::App app(kAbout, "ferry");
  app.formatter(std::make_shared<HelpFormat>());
  app.set_version_flag("--version", std::string("ferry ") + FERRY_VERSION);
  app.require_subcommand(1);
  RunCommand run;
  ReceiveCommand receive;
  MigrateCommand migrate;
  PredictCommand predict;
  SetCommand set;
  ControlCommand control;
  ImagesCommand images;
  PlanCommand plan;
  define_run(app, run);
  define_receive(app, receive);
  define_migrate(app, migrate);
  define_predict(app, predict);
  define_set(app, set);
  define_control(app, control);
  define_images(app, images);
  define_plan(app, plan);
  std::vector<std::string> topic;
  add_command(app, "help", "explain a command, as 'ferry help run'")
      ->add_option("COMMAND", topic, "the command; none: all of them");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) {
      std::ostringstream text;
      app.exit(error, text, text);
      print_out(text.str());
      return std::nullopt;
    }
    throw usage_failure(app, argc, argv, error);
  }
  if (app.got_subcommand("help")) {
    print_out(help_on(app, topic));
    return std::nullopt;
  }
  if (app.got_subcommand("run")) return run;
  if (app.got_subcommand("receive")) return receive;
  if (app.got_subcommand("migrate")) return migrate;
  if (app.got_subcommand("predict")) return predict;
  if (app.got_subcommand("set")) return set;
  if (app.got_subcommand("images")) return images;
  if (app.got_subcommand("plan")) return plan;
  return control;
}

}  // namespace ferry
