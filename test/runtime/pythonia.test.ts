import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { describe, expect, test } from 'vitest'
import { EnvironmentError, RuntimeCrashError } from '../../src/errors.js'
import { packageRoot, resolvePython } from '../../src/runtime/python.js'
import { callPython } from '../../src/runtime/pythonia.js'
import { startNode } from '../helpers/cli.js'

const python = resolvePython()

describe('a call of a Python function', () => {
  test('passes on its result, for all values that JSON can represent', async () => {
    expect(await callPython(python, 'math', 'hypot', [3, 4])).toBe(5)
    expect(await callPython(python, 'json', 'loads', ['{"a": [1, null, "é\\u2028"]}'])).toEqual({
      a: [1, null, 'é\u2028'],
    })
  })

  test('may be made while others are: they run one after another', async () => {
    const calls = [1, 2, 3].map((exponent) => callPython(python, 'math', 'pow', [2, exponent]))
    expect(await Promise.all(calls)).toEqual([2, 4, 8])
  })

  test('sees nothing of another launcher, and leaves our environment as it was', async () => {
    process.env.MASTER_ADDR = 'elsewhere'
    const before = { ...process.env }
    expect(await callPython(python, 'os', 'getenv', ['MASTER_ADDR', 'unset'])).toBe('unset')
    expect(process.env).toEqual(before)
    delete process.env.MASTER_ADDR
  })

  test('that raises is an error with the function and the message', async () => {
    const failing = callPython(python, 'json', 'loads', ['{'])
    await expect(failing).rejects.toThrow(RuntimeCrashError)
    await expect(failing).rejects.toThrow(/^json\.loads: JSONDecodeError: Expecting property name/)
  })

  test('that does not exist is an error too', async () => {
    await expect(callPython(python, 'no_such_module', 'f')).rejects.toThrow(
      /No module named 'no_such_module'/,
    )
    await expect(callPython(python, 'math', 'no_such')).rejects.toThrow(/has no attribute 'no_such'/)
  })

  test('that returns NaN, which would end Node, is an error', async () => {
    await expect(callPython(python, 'builtins', 'float', ['nan'])).rejects.toThrow(/not JSON compliant/)
  })

  test('whose Python crashes is an error at once, and the next call works', async () => {
    const dying = callPython(python, 'os', '_exit', [3])
    await expect(dying).rejects.toThrow('Python ended during os._exit (exit code 3)')
    await expect(callPython(python, 'os', 'abort')).rejects.toThrow('Python ended during os.abort (SIGABRT)')
    expect(await callPython(python, 'math', 'hypot', [3, 4])).toBe(5)
  })

  test('that never answers is an error when its time is up or it is aborted, and the next call works', async () => {
    const never = callPython(python, 'signal', 'pause', [], { timeoutMs: 300 })
    await expect(never).rejects.toThrow('signal.pause: no answer within 0.3 s')
    const signal = AbortSignal.timeout(300)
    await expect(callPython(python, 'signal', 'pause', [], { signal })).rejects.toThrow(/abort/)
    expect(await callPython(python, 'math', 'hypot', [3, 4])).toBe(5)
  })

  test('with a wrong interpreter is an error, not the end of Node', async () => {
    await expect(callPython('/no/python', 'math', 'hypot', [])).rejects.toThrow(EnvironmentError)
    await expect(callPython('/bin/false', 'math', 'hypot', [])).rejects.toThrow(EnvironmentError)
  })
})

test('what Python prints goes to stderr, and Node ends by itself after the last call', async () => {
  const module = pathToFileURL(join(packageRoot, 'dist/runtime/pythonia.js')).href
  const script = `
    const { callPython } = await import(${JSON.stringify(module)})
    await callPython(${JSON.stringify(python)}, 'builtins', 'print', ['talk'])
    console.log('data')`
  const done = await startNode(['--input-type=module', '-e', script]).finished
  expect(done).toEqual({ code: 0, signal: null, stdout: 'data\n', stderr: 'talk\n' })
})
