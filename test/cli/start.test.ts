import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { packageRoot } from '../../src/runtime/python.js'

const start = join(packageRoot, 'dist/cli/start.js')
const withDescriptors = (count: number, argv: string) =>
  spawnSync('bash', ['-c', `ulimit -n ${count}; exec "${process.execPath}" "${start}" ${argv}`], {
    encoding: 'utf8',
  })

it('reports in one sentence that too few file descriptors are left to load the program', () => {
  const { status, stdout, stderr } = withDescriptors(40, 'predict --help')
  expect({ status, stdout }).toEqual({ status: 4, stdout: '' })
  expect(stderr).toMatch(
    /^error: .*cannot be opened \(this process has too many open files, EMFILE\)\nhint: raise the limit: `ulimit -n 4096`\n$/,
  )
})

it('starts the program otherwise', () => {
  expect(withDescriptors(4096, '--version')).toMatchObject({ status: 0, stderr: '' })
})
