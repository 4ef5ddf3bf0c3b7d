import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { addKeyCommand } from '../../../src/cli/commands/key.js'
import { addVerifyCommand } from '../../../src/cli/commands/verify.js'
import { runProgram } from '../../../src/cli/program.js'
import { memoryIo } from '../../helpers/cli.js'
import { temporaryFolder } from '../../helpers/temporary.js'
import { makeSignedSet } from '../../provenance/signed-set.js'

async function run(keys: string, ...argv: string[]) {
  const io = memoryIo({ cwd: keys, env: { FREETUMOR_KEYS: keys } })
  const code = await runProgram([addVerifyCommand, addKeyCommand], argv, io)
  return { code, stdout: io.stdout.join('\n'), stderr: io.stderr.join('\n') }
}

describe('freetumor verify', () => {
  it('exits with 0 if all files are authentic, and prints their number', async () => {
    const { folder, keys } = await makeSignedSet(temporaryFolder())
    expect(await run(keys, 'verify', folder)).toEqual({
      code: 0,
      stdout: '16 files: 16 authentic, 0 altered, 0 unsigned, 0 unmarked',
      stderr: '',
    })
  })

  it('exits with 3 and prints file, state and reason, as text, JSON and lines', async () => {
    const { folder, keys } = await makeSignedSet(temporaryFolder())
    const gone = join(folder, 'imagesTr/case_v000.nii.gz')
    await rm(gone)
    const text = await run(keys, 'verify', folder)
    expect(text.code).toBe(3)
    expect(text.stdout).toContain(`altered  ${gone}: file: missing`)
    const json = await run(keys, 'verify', folder, '--output', 'json')
    const wanted = { path: gone, state: 'altered', reason: 'file: missing' }
    expect([json.code, JSON.parse(json.stdout).files]).toEqual([3, expect.arrayContaining([wanted])])
    const lines = (await run(keys, 'verify', folder, '--output', 'ndjson')).stdout.split('\n')
    expect(lines.map((line) => JSON.parse(line))).toContainEqual(wanted)
  })

  it('exits with 3 after the key was revoked', async () => {
    const { folder, keys } = await makeSignedSet(temporaryFolder())
    const [{ id }] = JSON.parse((await run(keys, 'key', 'list', '--output', 'json')).stdout).keys
    expect((await run(keys, 'key', 'revoke', id)).code).toBe(0)
    const { code, stdout } = await run(keys, 'verify', folder)
    expect([code, stdout.split('\n').at(-1)]).toEqual([
      3,
      '16 files: 0 authentic, 0 altered, 16 unsigned, 0 unmarked',
    ])
  })
})

describe('freetumor key', () => {
  it('rotates: the new key signs, and data sets of the old one stay authentic', async () => {
    const { folder, keys } = await makeSignedSet(temporaryFolder())
    expect((await run(keys, 'key', 'rotate')).code).toBe(0)
    expect((await run(keys, 'verify', folder)).code).toBe(0)
    const { id } = JSON.parse((await run(keys, 'key', 'show')).stdout)
    expect((await run(keys, 'key', 'sign', folder)).stdout).toContain(`with the key ${id}`)
    expect((await run(keys, 'verify', folder)).code).toBe(0)
  })

  it('names the next command if there is no key', async () => {
    const { code, stderr } = await run(temporaryFolder(), 'key', 'show')
    expect(code).toBe(2)
    expect(stderr).toContain('hint: run `freetumor key create`')
  })
})
