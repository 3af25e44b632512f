#!/bin/sh
# Rebuilds the viewer from the locked packages and compares it with the committed bundle.
set -eu
cd "$(dirname "$0")"
npm ci --no-audit --no-fund --ignore-scripts
node build.mjs --check
