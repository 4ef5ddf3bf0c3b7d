import { readdirSync, readFileSync } from 'node:fs'
import { join, posix } from 'node:path'

export interface SourceFile {
  /** Relative to the folder that was read, with forward slashes. */
  readonly path: string
  readonly text: string
}

export interface SourceImport {
  readonly specifier: string
  /** Whether nothing of it is left when the types are gone. */
  readonly typeOnly: boolean
}

/** All files below a folder whose name ends so, sorted. */
export function sourceFiles(folder: string, ending: string): SourceFile[] {
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' })
  return names
    .filter((name) => name.endsWith(ending))
    .map((name) => ({ path: name.split('\\').join('/'), text: readFileSync(join(folder, name), 'utf8') }))
    .sort((a, b) => (a.path < b.path ? -1 : 1))
}

/** What a TypeScript file imports: statements, re-exports, `import()` and `createRequire()()`. */
export function typescriptImports(text: string): SourceImport[] {
  const statements = [...text.matchAll(/^(?:import|export)\b([^'";]*?)\bfrom\s+['"]([^'"]+)['"]/gm)].map(
    (match) => ({ specifier: match[2]!, typeOnly: isTypeOnly(match[1]!) }),
  )
  const bare = [...text.matchAll(/^import\s+['"]([^'"]+)['"]/gm)]
  const dynamic = [...text.matchAll(/\bimport\(\s*['"]([^'"]+)['"]/g)]
  const required = [...text.matchAll(/\bcreateRequire\([^)]*\)\(\s*['"]([^'"]+)['"]/g)]
  const values = [...bare, ...dynamic, ...required].map((match) => ({
    specifier: match[1]!,
    typeOnly: false,
  }))
  return [...statements, ...values]
}

function isTypeOnly(clause: string): boolean {
  if (/^\s*type\s/.test(clause)) return true
  const names = /^\s*\{([^}]*)\}\s*$/
    .exec(clause)?.[1]
    ?.split(',')
    .map((name) => name.trim())
  return names?.filter(Boolean).every((name) => name.startsWith('type ')) ?? false
}

/** The file below the same root that a relative import means; undefined for a package. */
export function importedFile(importer: string, specifier: string): string | undefined {
  if (!specifier.startsWith('.')) return undefined
  return posix.join(posix.dirname(importer), specifier).replace(/\.js$/, '.ts')
}

/** The groups of files that import each other in a circle, types included; `files` are below one root. */
export function importCycles(files: readonly SourceFile[]): string[][] {
  const imports = new Map(
    files.map(({ path, text }) => [
      path,
      typescriptImports(text).flatMap(({ specifier }) => importedFile(path, specifier) ?? []),
    ]),
  )
  const reached = new Map(files.map(({ path }) => [path, reachedFrom(path, imports)]))
  const inCircle = files.map(({ path }) => path).filter((path) => reached.get(path)!.has(path))
  const groups = inCircle.map((path) =>
    inCircle.filter((other) => reached.get(path)!.has(other) && reached.get(other)!.has(path)),
  )
  return groups.filter((group, at) => group[0] === inCircle[at])
}

function reachedFrom(start: string, imports: ReadonlyMap<string, readonly string[]>): Set<string> {
  const reached = new Set<string>()
  const left = [...(imports.get(start) ?? [])]
  for (let path = left.pop(); path !== undefined; path = left.pop()) {
    if (reached.has(path)) continue
    reached.add(path)
    left.push(...(imports.get(path) ?? []))
  }
  return reached
}

/** The names that a TypeScript file declares and exports, each once; names that it passes on from other files are left out. */
export function exportedNames(text: string): string[] {
  const declared = text.matchAll(
    /^export (?:declare )?(?:abstract )?(?:async )?(?:const|let|function\*?|class|interface|type|enum) (\w+)/gm,
  )
  const listed = [...text.matchAll(/^export (?:type )?\{([^}]*)\}(?!\s*from)/gm)].flatMap((match) =>
    match[1]!.split(',').map(
      (name) =>
        name
          .trim()
          .split(/\s+as\s+|\s+/)
          .at(-1)!,
    ),
  )
  return [...new Set([...[...declared].map((match) => match[1]!), ...listed.filter(Boolean)])]
}

/** The package of a bare import: `@grpc/grpc-js`, `zod`; undefined for Node's own modules and for files. */
export function importedPackage(specifier: string): string | undefined {
  if (specifier.startsWith('.') || specifier.startsWith('node:')) return undefined
  return specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/')
}

/** The modules that a Python file imports, in full dotted names; also those imported inside functions. */
export function pythonImports(text: string): string[] {
  const from = [...text.matchAll(/^\s*from\s+([\w.]+)\s+import\s+(\([^)]*\)|.*)$/gm)].flatMap((match) =>
    match[1] === 'freetumor_runtime'
      ? importedNames(match[2]!).map((name) => `freetumor_runtime.${name}`)
      : [match[1]!],
  )
  const plain = [...text.matchAll(/^\s*import\s+(.+)$/gm)].flatMap((match) => importedNames(match[1]!))
  return [...from, ...plain]
}

function importedNames(list: string): string[] {
  const names = list.replace(/[()]/g, ' ').replace(/#.*/g, '').split(',')
  return names.map((name) => name.trim().split(/\s+as\s+/)[0]!).filter(Boolean)
}
