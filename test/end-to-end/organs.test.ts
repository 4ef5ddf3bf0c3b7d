import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, expect, test } from 'vitest'
import { runCli, startCli } from '../helpers/cli.js'
import { ABDOMEN, standInTools, writeStandInScan } from '../helpers/stand-in-tools.js'
import { keptFolder } from '../helpers/temporary.js'
import { until } from '../helpers/until.js'

const folder = keptFolder()
let tool: string[]

beforeAll(async () => {
  tool = ['--with', 'totalsegmentator', '--tool-python', standInTools(join(folder, 'tool'))]
  for (const name of ['a', 'b', 'c', 'd'])
    await writeStandInScan(join(folder, 'scans', `${name}.nii.gz`), ABDOMEN)
})

const argv = (out: string, ...more: string[]): string[] => [
  ...['organs', '--images', join(folder, 'scans'), '--out', join(folder, out)],
  ...tool,
  ...more,
]

/** Label maps, and the lines of organs.json without times. */
function resultsOf(out: string): unknown {
  const names = readdirSync(join(folder, out)).filter((name) => name.endsWith('.nii.gz'))
  const { cases } = JSON.parse(readFileSync(join(folder, out, 'organs.json'), 'utf8'))
  return {
    labels: names.map((name) => [name, readFileSync(join(folder, out, name)).toString('base64')]),
    lines: cases.map(({ seconds: _, ...line }: { seconds: unknown }) => line),
  }
}

test('a killed and a stopped command resume; shards and merge give the files of one command', async () => {
  const whole = await runCli(argv('whole', '--output', 'json'))
  expect(whole.code, whole.stderr).toBe(0)
  expect(JSON.parse(whole.stdout)).toMatchObject({ tool: 'totalsegmentator', version: '2.18.0', failed: [] })

  const killed = startCli(argv('broken', '--output', 'ndjson'))
  killed.child.stdout?.once('data', () => killed.child.kill('SIGKILL'))
  expect((await killed.finished).signal).toBe('SIGKILL')
  const stopped = startCli(argv('broken', '--output', 'ndjson'))
  stopped.child.stdout?.once('data', () => stopped.child.kill('SIGINT'))
  const { code, stderr } = await stopped.finished
  expect(code, stderr).toBe(75)
  expect(stderr).toContain('the labelling of organs was stopped')
  expect((await runCli(argv('broken'))).code).toBe(0)
  expect(resultsOf('broken')).toEqual(resultsOf('whole'))
  expect(readdirSync(join(folder, 'broken')).filter((name) => name.includes('.tmp'))).toEqual([])

  for (const shard of ['1/2', '2/2']) expect((await runCli(argv('shards', '--shard', shard))).code).toBe(0)
  const merged = await runCli(['merge', join(folder, 'shards'), '--output', 'json'])
  expect(merged.code, merged.stderr).toBe(0)
  expect(JSON.parse(merged.stdout)).toMatchObject({ command: 'organs', shards: 2 })
  expect(resultsOf('shards')).toEqual(resultsOf('whole'))
})

test('a killed freetumor leaves no tool behind', async () => {
  await writeStandInScan(join(folder, 'hang/a.nii.gz'), ABDOMEN, 'hang')
  const { child, finished } = startCli([
    ...['organs', '--images', join(folder, 'hang'), '--out', join(folder, 'hung')],
    ...tool,
  ])
  const work = (): string[] =>
    readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .filter((pid) => {
        try {
          return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(
            join(folder, 'tool/bin/TotalSegmentator'),
          )
        } catch {
          return false
        }
      })
  // the tool and its worker, which has a session of its own
  await until(() => work().length === 2)
  child.kill('SIGKILL')
  await finished
  await until(() => work().length === 0)
  expect(existsSync(join(folder, 'hung/a.nii.gz'))).toBe(false)
})
