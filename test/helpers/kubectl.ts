import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { onTestFinished, vi } from 'vitest'
import { temporaryFolder } from './temporary.js'

const PROGRAM = `#!${process.execPath}
const { appendFileSync, existsSync, readFileSync } = require('node:fs')
const folder = __dirname
const argv = process.argv.slice(2)
const input = argv.includes('--filename=-') ? readFileSync(0, 'utf8') : ''
appendFileSync(folder + '/calls.jsonl', JSON.stringify({ argv, input }) + '\\n')
const answer = folder + '/' + argv[0] + '.json'
const { code = 0, stdout = '', stderr = '' } = existsSync(answer) ? JSON.parse(readFileSync(answer, 'utf8')) : {}
process.stdout.write(stdout)
process.stderr.write(stderr)
process.exitCode = code
`

export interface KubectlStandIn {
  /** Set the answer to `kubectl VERB`; the default is an empty output and exit code 0. */
  answers(verb: string, answer: { code?: number; stdout?: string; stderr?: string }): void
  /** The calls so far. */
  calls(): { argv: string[]; input: string }[]
}

/** Put a program in place of kubectl, for this test. It records its arguments and its input. */
export function kubectlStandIn(): KubectlStandIn {
  const folder = temporaryFolder()
  writeFileSync(join(folder, 'kubectl'), PROGRAM, { mode: 0o755 })
  vi.stubEnv('PATH', `${folder}:${process.env.PATH}`)
  onTestFinished(() => void vi.unstubAllEnvs())
  const record = join(folder, 'calls.jsonl')
  return {
    answers: (verb, answer) => writeFileSync(join(folder, `${verb}.json`), JSON.stringify(answer)),
    calls() {
      if (!existsSync(record)) return []
      const lines = readFileSync(record, 'utf8').trim().split('\n')
      return lines.map((line) => JSON.parse(line))
    },
  }
}
