// Sums what the two test runners reported: count-tests.mjs VITEST_JSON PYTEST_XML
// A report that is missing counts as one failure, and so does a test file that could not be loaded.
import { readFileSync } from 'node:fs'

const [vitestFile, pytestFile] = process.argv.slice(2)
const counts = { vitest: read(vitestFile, fromVitest), pytest: read(pytestFile, fromPytest) }
for (const [runner, count] of Object.entries(counts)) console.log(`${runner}: ${said(count)}`)
const total = { passed: 0, failed: 0, skipped: 0 }
for (const count of Object.values(counts)) for (const key of Object.keys(total)) total[key] += count[key]
console.log(said(total))
process.exitCode = total.failed > 0 || total.passed === 0 ? 1 : 0

function read(file, parse) {
  try {
    return parse(readFileSync(file, 'utf8'))
  } catch (error) {
    console.log(`no report: ${error.message}`)
    return { passed: 0, failed: 1, skipped: 0 }
  }
}

function fromVitest(text) {
  const report = JSON.parse(text)
  const unloaded = report.testResults.filter(
    (file) => file.status === 'failed' && !file.assertionResults.some((test) => test.status === 'failed'),
  )
  return {
    passed: report.numPassedTests,
    failed: report.numFailedTests + unloaded.length,
    skipped: report.numPendingTests + report.numTodoTests,
  }
}

function fromPytest(text) {
  const suite = /<testsuite\b[^>]*>/.exec(text)[0]
  const number = (name) => Number(new RegExp(`\\b${name}="(\\d+)"`).exec(suite)[1])
  const failed = number('failures') + number('errors')
  const skipped = number('skipped')
  return { passed: number('tests') - failed - skipped, failed, skipped }
}

function said({ passed, failed, skipped }) {
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`
}
