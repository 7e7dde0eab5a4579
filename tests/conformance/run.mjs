// Runs the public HTTP cache suite against a cache that is already there, with the suite's own server behind it.
//   node run.mjs ORIGIN_PORT BASE_URL
// ORIGIN_PORT is only looked at to say clearly when the suite's server is not there.
// One line of JSON: {"required": {id: true | why it failed}, "optimal": {...}, "check": {...}}
import net from 'node:net'

import fetch from 'node-fetch'
import { getResults, runTests } from 'http-cache-tests/client/runner.mjs'
import suites from 'http-cache-tests/tests/index.mjs'
import surrogate from 'http-cache-tests/tests/surrogate-control.mjs'

const [originPort, base] = process.argv.slice(2)

function reachable (port) {
  return new Promise((resolve, reject) => {
    net.connect(port, 'localhost', function () { this.end(); resolve() }).on('error', reject)
  })
}

function byKind (all, results) {
  const kinds = { required: {}, optimal: {}, check: {} }
  for (const test of all.flatMap(suite => suite.tests)) {
    if (test.browser_only) continue
    const result = results[test.id]
    kinds[test.kind ?? 'required'][test.id] = result === true ? true : (result ?? 'did not run')
  }
  return kinds
}

await reachable(Number(originPort))
const all = suites.some(suite => suite.id === surrogate.id) ? suites : [...suites, surrogate]
await runTests(all, fetch, false, base)
process.stdout.write(JSON.stringify(byKind(all, getResults())) + '\n', () => process.exit(0))
