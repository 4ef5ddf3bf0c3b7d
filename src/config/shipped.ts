import { existsSync, readdirSync, realpathSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const FOLDER = fileURLToPath(new URL('../../configs', import.meta.url))

/** Return the names of the configurations that the package ships, such as `debug-baseline`. */
export function shippedNames(): string[] {
  const files = readdirSync(FOLDER).filter((file) => file.endsWith('.yaml'))
  return files.map((file) => file.slice(0, -'.yaml'.length)).sort()
}

/** Return the file of a shipped configuration; undefined for another name. */
export function shippedFile(name: string): string | undefined {
  return shippedNames().includes(name) ? join(FOLDER, `${name}.yaml`) : undefined
}

/** Return whether the package ships a file. Such a file is a template: its data are in the working directory. */
export function isShipped(file: string): boolean {
  const folder = dirname(file)
  return existsSync(folder) && realpathSync(folder) === realpathSync(FOLDER)
}
