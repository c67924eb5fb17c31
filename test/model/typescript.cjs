'use strict';
// Loads TypeScript sources as they stand, in a process of its own: the model judges the sources, not a build of them.

const { readFileSync } = require('node:fs');
const Module = require('node:module');
const { transformSync } = require('@swc/core');

const resolve = Module._resolveFilename;
// Sources import each other as Node will find them once compiled: './x.js'.
Module._resolveFilename = function (request, parent, ...rest) {
  if (/^\.{1,2}\/.*\.js$/.test(request) && parent?.filename?.endsWith('.ts')) {
    return resolve.call(this, request.replace(/\.js$/, '.ts'), parent, ...rest);
  }
  return resolve.call(this, request, parent, ...rest);
};

require.extensions['.ts'] = (module, filename) => {
  const { code } = transformSync(readFileSync(filename, 'utf8'), {
    filename,
    swcrc: false,
    sourceMaps: 'inline',
    // As tsconfig.json has it.
    jsc: { parser: { syntax: 'typescript' }, target: 'es2022', transform: { useDefineForClassFields: false } },
    module: { type: 'commonjs' },
  });
  module._compile(code, filename);
};
