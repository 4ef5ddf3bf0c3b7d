#!/usr/bin/env node
import { FreetumorError } from '../errors.js'
import { typedSystemError } from '../system-errors.js'

// The entry point. Node opens all files of the program at once: with few file descriptors that fails before any command.
try {
  await import('./main.js')
} catch (error) {
  const typed = typedSystemError(error)
  if (!(typed instanceof FreetumorError)) throw error
  process.stderr.write(`error: ${typed.message}\nhint: ${typed.hint}\n`)
  process.exitCode = typed.exitCode
}
