#include "softflow_pmd/devargs.h"

#include "support.h"

namespace sluice::test {
namespace {

using softflow::DeviceArguments;

std::string parsed(const std::string& text, DeviceArguments* out) {
  return softflow::parse_device_arguments(text, out);
}

TEST(colons_separate_the_wires_arguments) {
  DeviceArguments arguments;
  CHECK_EQ(parsed("wire=net_af_packet0:iface=fab0:blocksz=4096,ordered=1", &arguments), std::string());
  CHECK_EQ(arguments.wire_name, std::string("net_af_packet0"));
  CHECK_EQ(arguments.wire_arguments, std::string("iface=fab0,blocksz=4096"));
  CHECK(arguments.ordered);
}

TEST(brackets_keep_what_they_hold) {
  DeviceArguments arguments;
  CHECK_EQ(parsed("vxlan_port=4790,wire=net_pcap0:rx_pcap=[/a:b,c=d.pcap]:tx_pcap=[/[x]]", &arguments),
           std::string());
  CHECK_EQ(arguments.wire_arguments, std::string("rx_pcap=/a:b,c=d.pcap,tx_pcap=/[x]"));
  CHECK_EQ(arguments.vxlan_port, 4790);
}

TEST(limits_faults_and_delays_are_read) {
  DeviceArguments arguments;
  CHECK_EQ(parsed("wire=a,max_rules=5,fail_every=7,insert_latency=0x10", &arguments), std::string());
  CHECK_EQ(arguments.max_rules, 5u);
  CHECK_EQ(arguments.fail_every, 7u);
  CHECK_EQ(arguments.insert_latency_us, 16u);
}

TEST(a_wrong_argument_is_named) {
  const char* const wrong[][2] = {
      {"wire=net_null0,speed=10", "speed: unknown argument"},
      {"", "wire: is missing"},
      {"wire=", "wire: names no device"},
      {"wire=a,wire=b", "wire: given twice"},
      {"wire=[a", "brackets do not match"},
      {"wire=a],ordered=1", "brackets do not match"},
      {"wire=a,ordered=2", "ordered: must be"},
      {"wire=a,max_rules=0", "max_rules: must be"},
      {"wire=a,max_rules=-1", "max_rules: must be"},
      {"wire=a,fail_every=0", "fail_every: must be"},
      {"wire=a,fail_every=", "fail_every: must be"},
      {"wire=a,insert_latency=1000001", "insert_latency: must be 0 to 1000000"},
      {"wire=a,insert_latency=5us", "insert_latency: must be"},
      {"wire=a,vxlan_port=65536", "vxlan_port: must be"},
      {"wire=a,vxlan_port=x", "vxlan_port: must be"},
  };
  for (const auto& [text, message] : wrong) {
    DeviceArguments arguments;
    const std::string answer = parsed(text, &arguments);
    if (answer.rfind(message, 0) != 0) CHECK_EQ(answer, std::string(message));
  }
}

}  // namespace
}  // namespace sluice::test
