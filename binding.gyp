{
  # The build is CMake's (CMakeLists.txt), driven by cmake-js. This file only hands over to it.
  "targets": [
    {
      "target_name": "sluice",
      "type": "none",
      "actions": [
        {
          "action_name": "cmake",
          "inputs": ["CMakeLists.txt"],
          "outputs": ["build/native/sluice.node"],
          "action": ["npx", "cmake-js", "compile", "-O", "build/native"]
        }
      ]
    }
  ]
}
