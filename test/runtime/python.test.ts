import { chmodSync, existsSync, mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { EnvironmentError } from '../../src/errors.js'
import {
  cleanEnvironment,
  compilerCache,
  inspectPython,
  ownRuntime,
  packageRoot,
  resolvePython,
  runtimeFolder,
  unusableFolder,
} from '../../src/runtime/python.js'
import { prepareRecords, recordRuntime } from '../../src/runtime/runtime-record.js'
import { temporaryFolder } from '../helpers/temporary.js'

function file(...parts: string[]): string {
  const path = join(...parts)
  mkdirSync(join(path, '..'), { recursive: true })
  writeFileSync(path, '', { mode: 0o755 })
  return path
}

/** A folder whose `./.venv` adopted another Python, with the record of it. */
function recorded() {
  const [cwd, state] = [temporaryFolder(), temporaryFolder()]
  const python = file(cwd, 'elsewhere/bin/python')
  const env = { XDG_STATE_HOME: state }
  const folder = join(cwd, '.venv')
  mkdirSync(folder)
  prepareRecords(env)
  recordRuntime(folder, { version: 1, python, made: 'adopted' }, env)
  return { cwd, env, state, python, folder }
}

describe('the Python that is used', () => {
  test('is the configured one before FREETUMOR_PYTHON before the one in ./.venv', () => {
    const cwd = temporaryFolder()
    const venv = file(cwd, '.venv/bin/python')
    const state = temporaryFolder()
    prepareRecords({ XDG_STATE_HOME: state })
    recordRuntime(
      join(cwd, '.venv'),
      { version: 1, python: venv, made: 'created' },
      { XDG_STATE_HOME: state },
    )
    const named = file(cwd, 'named/python')
    const configured = file(cwd, 'configured/python')
    expect(resolvePython({ cwd, env: { XDG_STATE_HOME: state } })).toBe(venv)
    const env = { FREETUMOR_PYTHON: named, XDG_STATE_HOME: state }
    expect(resolvePython({ cwd, env })).toBe(named)
    expect(resolvePython({ cwd, explicit: './configured/python', env })).toBe(configured)
  })

  test('may be named as on the command line: a name is looked up in PATH', () => {
    const cwd = temporaryFolder()
    const python = file(cwd, 'bin/python3.11')
    expect(resolvePython({ cwd, explicit: 'python3.11', env: { PATH: join(cwd, 'bin') } })).toBe(python)
  })

  test('is the adopted one when a record of this user names it', () => {
    const { cwd, env, python, folder } = recorded()
    expect(resolvePython({ cwd, env })).toBe(python)
    rmSync(python)
    expect(() => resolvePython({ cwd, env })).toThrow(`${python}: Python not found (recorded for ${folder})`)
  })

  test('is never a program that the working directory alone names', () => {
    const cwd = temporaryFolder()
    const python = file(cwd, 'elsewhere/bin/python')
    file(cwd, '.venv/bin/python')
    writeFileSync(
      join(cwd, '.venv/freetumor-runtime.json'),
      JSON.stringify({ version: 1, python, made: 'adopted', id: 'x' }),
    )
    const folder = join(cwd, '.venv')
    for (const env of [
      { XDG_STATE_HOME: temporaryFolder() },
      { HOME: temporaryFolder() },
      { HOME: '/no/home' },
    ]) {
      expectNotTrusted(() => resolvePython({ cwd, env }), {
        message: `${folder} is not trusted: \`freetumor setup\` did not record it for this user`,
        hint: expect.stringContaining(`freetumor setup --venv ${folder}`),
      })
    }
  })

  test('is not that of another folder in the place of the recorded one', () => {
    const { cwd, env, folder, python } = recorded()
    rmSync(folder, { recursive: true })
    file(folder, 'bin/python')
    writeFileSync(
      join(folder, 'freetumor-runtime.json'),
      JSON.stringify({ version: 1, python, made: 'adopted' }),
    )
    expectNotTrusted(() => resolvePython({ cwd, env }), {
      message: expect.stringContaining('is not trusted'),
    })
  })

  test('is not that of a record that others may write', () => {
    const { cwd, env, state } = recorded()
    const records = join(state, 'freetumor/runtimes')
    const [name] = readdirSync(records)
    expect(statSync(join(records, name!)).mode & 0o777).toBe(0o600)
    chmodSync(join(records, name!), 0o666)
    expectNotTrusted(() => resolvePython({ cwd, env }), {
      message: expect.stringContaining('is not trusted'),
    })
  })

  test('is never one whose set-up was interrupted', () => {
    const cwd = temporaryFolder()
    file(cwd, '.venv/bin/python')
    file(cwd, '.venv/freetumor-setup.unfinished')
    expect(() => resolvePython({ cwd, env: {} })).toThrow(/was not finished/)
  })

  test('that is named but does not exist is an error with the source of the name', () => {
    const cwd = temporaryFolder()
    expect(() => resolvePython({ cwd, env: { FREETUMOR_PYTHON: '/no/python' } })).toThrow(
      'FREETUMOR_PYTHON: /no/python: Python not found',
    )
    expect(() => resolvePython({ cwd, explicit: 'no-such-python', env: { PATH: '/usr/bin' } })).toThrow(
      'the configured Python: no-such-python: Python not found',
    )
  })
})

/** Without a runtime beside the package there is nothing left to use; with one, that one is used. */
function expectNotTrusted(resolving: () => string, error: object): void {
  const own = join(ownRuntime, 'bin/python')
  if (existsSync(own)) expect(resolving()).toBe(own)
  else expect(resolving).toThrow(expect.objectContaining(error))
}

describe('the environment of a Python child', () => {
  const env = {
    HOME: '/home/me',
    CUDA_VISIBLE_DEVICES: '1',
    RANK: '3',
    LOCAL_RANK: '3',
    WORLD_SIZE: '4',
    MASTER_ADDR: 'elsewhere',
    MASTER_PORT: '1',
    TORCHELASTIC_RUN_ID: 'x',
    PYTHONHOME: '/opt/other',
    PYTHONPATH: '/opt/other/lib',
    PYTHONSTARTUP: '/x.py',
    PYTHONDONTWRITEBYTECODE: '1',
    VIRTUAL_ENV: '/opt/other',
    UNSET: undefined,
  }

  test('keeps the user and loses what another launcher or another Python left', () => {
    expect(cleanEnvironment({ threads: 2, env })).toEqual({
      HOME: '/home/me',
      CUDA_VISIBLE_DEVICES: '1',
      PYTHONDONTWRITEBYTECODE: '1',
      PYTHONPATH: runtimeFolder,
      PYTHONSAFEPATH: '1',
      PYTHONUNBUFFERED: '1',
      OMP_NUM_THREADS: '2',
      THP_MEM_ALLOC_ENABLE: '1',
      TORCH_DISABLE_SHARE_RDZV_TCP_STORE: '1',
    })
  })

  test('refuses a folder that cannot stand in PYTHONPATH', () => {
    expect(unusableFolder('/opt/a:b')).toMatchObject({
      message: '/opt/a:b: Python cannot import from a folder with ":" in its path',
      exitCode: 4,
    })
  })

  test('puts compiled code into a folder of the user, or of the job where there is no home', async () => {
    const home = temporaryFolder()
    const own = join(home, 'freetumor', 'torchinductor')
    expect(await compilerCache('/job', { XDG_CACHE_HOME: home })).toBe(own)
    expect(statSync(own).mode & 0o777).toBe(0o700)
    expect(await compilerCache('/job', { XDG_CACHE_HOME: '/dev/null' })).toBe('/job')
    expect(await compilerCache('/job', { TORCHINDUCTOR_CACHE_DIR: '/mine' })).toBe('/mine')
  })

  test('finds the runtime package from src/ and from dist/ alike', () => {
    expect(runtimeFolder).toBe(join(packageRoot, 'python_runtime'))
  })
})

describe('an interpreter', () => {
  test('that is missing leaves no timer, which would keep the command from ending', async () => {
    const timers = (): number => process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length
    const before = timers()
    await expect(inspectPython(join(temporaryFolder(), 'python'))).rejects.toThrow('not found')
    expect(timers()).toBe(before)
  })

  test('reports its version and its packages', async () => {
    const facts = await inspectPython(resolvePython())
    expect(facts.version).toMatch(/^3\.1[12]\.\d+$/)
    expect(facts.packages).toMatchObject({ torch: expect.stringMatching(/^\d/), monai: expect.any(String) })
  })

  test('that does not exist, is no Python, or was aborted, is an error', async () => {
    await expect(inspectPython('/no/python')).rejects.toThrow('/no/python: Python not found')
    await expect(inspectPython('/bin/true')).rejects.toThrow(EnvironmentError)
    await expect(inspectPython('/bin/false')).rejects.toThrow(EnvironmentError)
    await expect(inspectPython('/bin/true', AbortSignal.abort())).rejects.toThrow(/abort/)
  })
})
