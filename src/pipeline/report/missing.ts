/** Return the result; null if the file does not exist. */
export async function orMissing<T>(reading: Promise<T>): Promise<T | null> {
  return reading.catch((error: Error) => {
    const { code } = (error.cause ?? error) as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return null
    throw error
  })
}
