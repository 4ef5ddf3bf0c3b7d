import { describe, expect, test } from 'vitest'
import { type DoctorReport, runDoctor } from '../../src/runtime/doctor.js'
import { runCli } from '../helpers/cli.js'
import { temporaryFolder } from '../helpers/temporary.js'

const found = (report: DoctorReport, id: string) => report.checks.find((check) => check.id === id)

describe('the doctor', () => {
  test('looks at everything a run needs, and sums over two ranks', async () => {
    const report = await runDoctor()
    expect(report.checks.map((check) => check.id)).toEqual([
      'node',
      'python',
      'packages',
      'devices',
      'zeromq',
      'allReduce',
      'sharedMemory',
      'ports',
      'exposure',
      'account',
      'disk',
      'memory',
    ])
    for (const id of ['node', 'python', 'packages', 'devices', 'zeromq', 'allReduce', 'ports', 'exposure'])
      expect(found(report, id)).toMatchObject({ ok: true, fix: null })
    expect(found(report, 'devices')!.detail).toMatch(/^torch \d.*CPU threads/)
    expect(report.ok).toBe(report.checks.every((check) => check.ok))
  })

  test('finds a working directory that cannot be written', async () => {
    // nobody can write there, root neither
    const report = await runDoctor({ cwd: '/proc', env: { FREETUMOR_PYTHON: '/no/python' } })
    expect(found(report, 'disk')).toMatchObject({
      ok: false,
      detail: expect.stringMatching(/^\/proc cannot/),
    })
    expect(found(report, 'disk')!.fix).toContain('prepare.cache')
  })

  test('names what is missing and what to do, and exits 4', async () => {
    const env = { FREETUMOR_PYTHON: '/no/python' }
    const done = await runCli(['doctor', '--output', 'json'], { cwd: temporaryFolder(), env })
    expect(done.code).toBe(4)
    const report = JSON.parse(done.stdout) as DoctorReport
    expect(report.ok).toBe(false)
    expect(found(report, 'python')).toEqual({
      id: 'python',
      ok: false,
      detail: 'FREETUMOR_PYTHON: /no/python: Python not found',
      fix: 'give the path of a Python 3.11 or 3.12 executable, or run `freetumor setup`',
    })
    expect(found(report, 'allReduce')!.detail).toBe('not checked: there is no Python')
    expect(found(report, 'zeromq')!.ok).toBe(true)
  })

  test('ends an all-reduce that does not come to an end', async () => {
    const report = await runDoctor({ allReduceTimeoutMs: 1 })
    expect(found(report, 'allReduce')).toMatchObject({
      ok: false,
      detail: 'two ranks: no answer within 0.001 s',
    })
  })

  test('rejects when it is aborted', async () => {
    await expect(runDoctor({ signal: AbortSignal.abort() })).rejects.toThrow(/abort/)
  })
})
