// A thin face over SQLite: results instead of return codes, statements that clean up after
// themselves.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/result.h"

namespace octavo::registry {

// One prepared statement. Not thread-safe; must not outlive its database.
class Statement {
 public:
  Statement(Statement&&) noexcept;
  Statement& operator=(Statement&&) noexcept;
  ~Statement();

  // Parameters in the order of their question marks.
  Statement& Bind(std::string_view text);
  Statement& Bind(int64_t value);
  // NULL when there is nothing.
  template <typename T>
  Statement& BindOptional(const std::optional<T>& value) {
    return value ? Bind(*value) : BindNull();
  }
  Statement& BindNull();
  // True when there is a row to read.
  core::Result<bool> Step();
  // Step for statements that give no rows.
  core::Status Run();
  // Columns of the current row; NULL is an empty string, 0, or nothing.
  std::string Text(int column) const;
  int64_t Int(int column) const;
  std::optional<std::string> OptionalText(int column) const;
  std::optional<int64_t> OptionalInt(int column) const;

 private:
  friend class Database;
  struct Handle;
  explicit Statement(std::unique_ptr<Handle> handle);
  std::unique_ptr<Handle> handle_;
};

// One connection: synchronous=FULL, so that a committed transaction survives a power cut; foreign
// keys enforced; locks of other processes waited for. Not thread-safe.
class Database {
 public:
  // Opens or creates (mode 0600) the file and checks its structure. A file that is damaged or no
  // database is an Error that says what to do.
  static core::Result<Database> Open(const std::string& path);
  // Whether the file has been switched to a write-ahead log. Before that, processes that open it
  // disturb the one that switches it, without SQLite waiting for either.
  static bool HasWriteAheadLog(const std::string& path);
  // Switches the file to a write-ahead log, for good: readers then never wait for a writer. The
  // caller keeps other processes from doing the same at once.
  core::Status UseWriteAheadLog();
  Database(Database&&) noexcept;
  Database& operator=(Database&&) noexcept;
  ~Database();

  // Runs SQL text without parameters or results.
  core::Status Execute(const std::string& sql);
  core::Result<Statement> Prepare(std::string_view sql);

 private:
  struct Handle;
  explicit Database(std::unique_ptr<Handle> handle);
  std::unique_ptr<Handle> handle_;
};

// BEGIN IMMEDIATE until Commit; rolled back when destroyed before that.
class Transaction {
 public:
  static core::Result<Transaction> Begin(Database& database);
  Transaction(Transaction&& other) noexcept : database_(other.database_) {
    other.database_ = nullptr;
  }
  Transaction& operator=(Transaction&&) = delete;
  ~Transaction();
  core::Status Commit();

 private:
  explicit Transaction(Database& database) : database_(&database) {}
  Database* database_;
};

}  // namespace octavo::registry
